"""Fonts for the characters of a text, and text for characters that no font has."""

import functools
import unicodedata
from collections.abc import Iterable
from typing import Any

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
    return next((name for name, font in _fonts() if font.get_char_index(ord(character))), None)


@functools.cache
def _fonts() -> list[tuple[str, Any]]:
    """Returns the installed regular fonts by family, the base font first."""
    from matplotlib import font_manager, ft2font

    entries: dict[str, str] = {}
    for entry in font_manager.fontManager.ttflist:
        if entry.style == "normal" and entry.weight in (400, "normal", "regular"):
            entries.setdefault(entry.name, entry.fname)
    entries[_BASE] = font_manager.findfont(_BASE)
    fonts = []
    for name in sorted(entries, key=lambda name: (name != _BASE, name)):
        # The last resort font draws boxes. Fonts of colored emoji hold pictures of fixed size.
        if "Last Resort" in name or "Emoji" in name:
            continue
        try:
            font = ft2font.FT2Font(entries[name])
        except (RuntimeError, OSError):
            continue
        if font.scalable:
            fonts.append((name, font))
    return fonts
