"""Fonts for the characters of a text, and text for characters that no font has."""

import functools
import unicodedata
from collections.abc import Iterable

import numpy as np

from keras_contrastive._typing import Array

_BASE = "DejaVu Sans"  # comes with matplotlib
_FLAG_LETTER = "REGIONAL INDICATOR SYMBOL LETTER "


def font_families(texts: Iterable[str]) -> list[str]:
    """Returns the font of the figures, and installed fonts for characters that it lacks."""
    fonts = [_font_with(character) for text in texts for character in text]
    return list(dict.fromkeys([_BASE, *(font for font in fonts if font)]))


def drawable(text: str) -> str:
    """Returns a text in one line without characters that no installed font has.

    A symbol, such as an emoji, is replaced by its name in brackets, and a letter by a question
    mark. Marks that change the previous character are left out.
    """
    text = " ".join(unicodedata.normalize("NFC", str(text)).split())
    return "".join(c if _font_with(c) else _replacement(c) for c in text)


def _replacement(character: str) -> str:
    kind, name = unicodedata.category(character), unicodedata.name(character, "")
    if name.startswith(_FLAG_LETTER):
        return name.removeprefix(_FLAG_LETTER)
    if kind in ("Mn", "Me", "Cf", "Cc", "Sk"):
        return ""
    return f"[{name.lower()}]" if kind.startswith("S") and name else "?"


@functools.cache
def _font_with(character: str) -> str | None:
    """Returns the family of the first font that has a character, or `None`."""
    code = ord(character)
    return next((name for name, path in _font_files().items() if _has(path, code)), None)


@functools.cache
def _font_files() -> dict[str, str]:
    """Returns the files of the installed regular fonts by family, the base font first."""
    from matplotlib import font_manager

    files: dict[str, str] = {_BASE: str(font_manager.findfont(_BASE))}
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda entry: entry.name):
        is_regular = entry.style == "normal" and entry.weight in (400, "normal", "regular")
        # The last resort font draws boxes. Fonts of colored emoji hold pictures of fixed size.
        if is_regular and "Last Resort" not in entry.name and "Emoji" not in entry.name:
            files.setdefault(entry.name, entry.fname)
    return files


def _has(path: str, code: int) -> bool:
    codes = _codes_of(path)
    place = int(np.searchsorted(codes, code))
    return place < len(codes) and int(codes[place]) == code


@functools.cache
def _codes_of(path: str) -> Array:
    """Returns the characters of a font as sorted code points. The file is not kept open."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
    except (RuntimeError, OSError):
        return np.zeros(0, "uint32")
    codes = sorted(font.get_charmap()) if font.scalable else []
    return np.array(codes, "uint32")
