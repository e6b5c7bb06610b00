"""Icon sets in the npm package `@iconify/json`."""

import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from keras_contrastive.datasets._drawing import draw_svg
from keras_contrastive.datasets._icon_entries import Drawing, Entry, one_each

NPM_PACKAGE = "@iconify/json@2.2.535"
_FREE = {
    *("Apache-2.0", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "ISC", "MIT", "OFL-1.1", "Unlicense"),
}
_OTHER_KINDS = ("Emoji", "Flags / Maps", "Logos")
# Sets of logos in other categories.
_LOGO_SETS = ("devicon-plain", "fa-brands", "fa6-brands", "file-icons")
# Words that a set puts in front of many names, besides those that it declares.
_PREFIXES = {
    "ei": ("sc",),
    "foundation": ("social",),
    "medical-icon": ("i",),
    "simple-line-icons": ("social",),
    "streamline-block": ("basic",),
    "streamline-pixel": ("interface", "essential"),
}


def find_folder(folder: pathlib.Path) -> pathlib.Path:
    """Returns the folder of the npm package. Raises an error if it is another folder."""
    if not (folder / "collections.json").is_file() or not (folder / "package.json").is_file():
        raise FileNotFoundError(
            "`folder` must be the folder of the npm package `@iconify/json`. "
            f"Received: folder={str(folder)!r}. Run: npm install --ignore-scripts {NPM_PACKAGE}. "
            "The folder is then node_modules/@iconify/json, below the folder of that command."
        )
    return folder


def version(folder: pathlib.Path) -> str:
    """Returns the version of the npm package."""
    return str(_read(folder / "package.json")["version"])


def licenses(folder: pathlib.Path) -> dict[str, str]:
    """Returns the SPDX license of each set that is used."""
    return {
        name: facts["license"]["spdx"]
        for name, facts in sorted(_read(folder / "collections.json").items())
        if facts["license"].get("spdx") in _FREE
        and not facts.get("palette")
        and facts.get("category") not in _OTHER_KINDS
        and name not in _LOGO_SETS
    }


def list_iconify(folder: pathlib.Path) -> list[Entry]:
    """Lists one drawing of each name in each set that is free and has one color."""
    entries = []
    for name in licenses(folder):
        data = _read(folder / "json" / f"{name}.json")
        prefixes = (*data.get("prefixes", ()), *_PREFIXES.get(name, ()))
        entries += one_each(name, _drawings(data), prefixes=prefixes, both_styles=False)
    return entries


def _drawings(data: dict[str, Any]) -> Iterator[Drawing]:
    category = {icon: name for name, icons in data.get("categories", {}).items() for icon in icons}
    for name, icon in data["icons"].items():
        if not icon.get("hidden"):
            svg = _svg(icon["body"], {**data, **icon})
            yield Drawing(name, None, category.get(name, ""), functools.partial(draw_svg, svg))


def _svg(body: str, box: dict[str, Any]) -> str:
    width, height = box.get("width", 16), box.get("height", 16)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' viewBox="{box.get("left", 0)} {box.get("top", 0)} {width} {height}"'
        f' width="{width}" height="{height}">{body}</svg>'
    )


def _read(file: pathlib.Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))
