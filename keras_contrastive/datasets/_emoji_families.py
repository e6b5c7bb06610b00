"""Families of emoji that show the same subject."""

import re

# Code points that distinguish siblings: selectors and joiners, skin tones, hair, gender signs and
# "facing right".
_MODIFIERS = {
    0xFE0F,
    0x200D,
    *range(0x1F3FB, 0x1F400),
    *range(0x1F9B0, 0x1F9B4),
    0x2640,
    0x2642,
    0x26A7,
    0x27A1,
}
# Different code points of one figure: the forms of woman, man and person, young and old.
_FIGURES = {
    "person": "\U0001f466\U0001f467\U0001f468\U0001f469\U0001f471\U0001f474"
    "\U0001f475\U0001f476\U0001f9d1\U0001f9d2\U0001f9d3\U0001f9d4",
    "dancer": "\U0001f483\U0001f57a",
    "royalty": "\U0001f478\U0001f934\U0001fac5",
    "pregnant": "\U0001f930\U0001fac3\U0001fac4",
}
_FIGURE = {character: figure for figure, characters in _FIGURES.items() for character in characters}
# Words in the English names of siblings that share no code point.
_SIBLING_WORDS = re.compile(
    r"^(family|kiss|couple with heart)(?=:|$)|(holding hands|claus|feeding)", re.IGNORECASE
)


def family_of(character: str, name: str) -> str:
    """Returns the family of an emoji: its subject without skin tone, gender, age and hair.

    The direction ("facing right") does not matter either.

    Args:
        character: The emoji, as text.
        name: Its English CLDR name.

    Returns:
        A string that siblings share and others do not.

    Example:

    >>> runner = "\U0001f3c3"
    >>> woman = family_of(runner + "\u200d\u2640\ufe0f", "woman running")
    >>> woman == family_of(runner, "person running")
    True
    >>> family_of("\U0001f468\u200d\U0001f680", "man astronaut")
    'person \U0001f680'
    """
    word = _SIBLING_WORDS.search(name)
    if word:
        return word.group().lower()
    kept = [c for c in character if ord(c) not in _MODIFIERS] or list(character)
    figures = {_FIGURE[c] for c in kept if c in _FIGURE}
    return " ".join([*sorted(figures), *(c for c in kept if c not in _FIGURE)])
