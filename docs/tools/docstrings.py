"""Prepares docstrings for the site: examples become code blocks, names become links."""

import pathlib
import re
import sys
from typing import Any

import griffe

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import api_pages

CODE = re.compile(r"(?<![`\[])`(?:kc|keras_contrastive)?\.?([A-Za-z_.]+)`(?![`\]])")


def public_paths() -> dict[str, str]:
    """Returns the full path of each public name, by `Name`, `subpackage.Name`."""
    paths = {}
    for subpackage in reversed(api_pages.subpackages()):
        module = f"keras_contrastive.{subpackage}"
        tree = api_pages.parse(module)
        for name in api_pages.public_names(tree):
            if subpackage != "extend" or name not in paths:
                paths[f"{subpackage}.{name}"] = f"{module}.{name}"
                if name[0].isupper():
                    paths[name] = f"{module}.{name}"
    return paths


class Docstrings(griffe.Extension):
    """Rewrites each docstring of the package before it is parsed."""

    def __init__(self) -> None:
        super().__init__()
        self.paths = public_paths()

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = self.prepared(obj.docstring.value, obj.name)

    def prepared(self, text: str, name: str) -> str:
        parts = re.split(r"(^ *>>> .*(?:\n(?! *$).+)*)", text, flags=re.MULTILINE)
        for index, part in enumerate(parts):
            if index % 2 == 0:
                parts[index] = self.linked(part, name)
            else:
                margin = re.match(" *", part)[0]
                parts[index] = f"{margin}```pycon\n{part}\n{margin}```"
        # Titles that the parser of docstrings does not have.
        text = re.sub(r"^Example:$", "**Example**", "".join(parts), flags=re.MULTILINE)
        return re.sub(
            r"^Call arguments:$", "Other Parameters: Call arguments", text, flags=re.MULTILINE
        )

    def linked(self, text: str, name: str) -> str:
        def link(match: re.Match[str]) -> str:
            path = self.paths.get(match[1])
            if path is None or match[1].split(".")[-1] == name:
                return match[0]
            return f"[{match[0]}][{path}]"

        return CODE.sub(link, text)
