"""Facts on Chinese characters: the Unihan database of Unicode."""

import pathlib
import re
from collections.abc import Iterable

# Value of each character by field.
Unihan = dict[str, dict[str, str]]


def read_unihan(folder: pathlib.Path) -> Unihan:
    """Reads the files of Unihan in a package."""
    facts: Unihan = {}
    for file in sorted(folder.rglob("Unihan_*.txt")):
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith("U+"):
                code, field, value = line.split("\t", 2)
                facts.setdefault(field, {})[chr(int(code[2:], 16))] = value
    return facts


def families_of(characters: Iterable[str], facts: Unihan) -> list[str]:
    """Returns the first variant of each character. Variants of variants are variants."""
    parent: dict[str, str] = {}

    def first(character: str) -> str:
        while (above := parent.get(character, character)) != character:
            parent[character] = parent.get(above, above)
            character = above
        return character

    for field, values in facts.items():
        if field.endswith("Variant"):
            for character, value in values.items():
                for code in re.findall(r"U\+([0-9A-F]+)", value):
                    low, high = sorted((first(character), first(chr(int(code, 16)))))
                    parent[high] = low
    return [first(character) for character in characters]
