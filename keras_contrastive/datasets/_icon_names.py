"""Names of icons: the words for the thing that is drawn, without words for the style."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

# Words at the end of a name that tell how the thing is drawn.
_FILLED = {"fill", "filled", "solid"}
_OUTLINED = {"light", "line", "linear", "outline", "outlined", "regular", "thin"}
_STYLES = {
    *("alt", "broken", "duotone", "fill", "filled", "linear", "micro", "mini", "outline"),
    *("outlined", "regular", "rounded", "sharp", "solid", "twotone", "variant"),
    *("16px", "20px", "24px", "32px"),
}
# Words for styles that are also words for things, as in "traffic light" and "hair color". They are
# styles in the sets that use them often.
_AMBIGUOUS = {
    *("bold", "color", "colored", "duo", "expressive", "f", "flat", "large", "light", "line"),
    *("loop", "o", "one", "print", "r", "remix", "round", "s", "small", "stroke", "thin", "three"),
    "two",
}
_OFTEN = 0.03  # Share of the names of a set.
_LETTERS_AND_DIGITS = {"alpha", "keycap", "letter", "letters", "number", "numeric"}


class Name(NamedTuple):
    """A name of an icon. `filled` is `None` and `size` is 24 if the file name does not tell."""

    text: str
    filled: bool | None
    size: int


def plain_names(names: Sequence[str], prefixes: Collection[str] = ()) -> list[Name]:
    """Splits the names of a set into the thing and its style.

    Args:
        names: File names without suffix, all of one set.
        prefixes: Words at the start of a name that belong to the set, not to the thing.
    """
    split = [_words(name, prefixes) for name in names]
    ends = Counter(word for words in split for word in set(_tail(words, _STYLES | _AMBIGUOUS)))
    styles = _STYLES | {word for word in _AMBIGUOUS if ends[word] >= _OFTEN * len(split)}
    return [_plain(words, styles) for words in split]


def is_thing(text: str) -> bool:
    """Returns whether a name is of a thing, not of a letter, a digit or a logo."""
    words = text.split(" ")
    if words[0] in _LETTERS_AND_DIGITS or any(len(w) == 1 or w.isdigit() for w in words):
        return False
    return re.search("[a-z]{2}", text) is not None and _logo_of(text) is None


def logos(names: Iterable[tuple[str, str]]) -> set[str]:
    """Returns names of brands.

    A name x is a brand if "brand x", "logo x" or "x logo" is drawn by at least half as many sets
    as "x". So "github" is a brand, and "box" is a thing.

    Args:
        names: Pairs of the set and the name, logos included.
    """
    marked: dict[str, set[str]] = defaultdict(set)
    plain: dict[str, set[str]] = defaultdict(set)
    for source, text in names:
        brand = _logo_of(text)
        (plain if brand is None else marked)[text if brand is None else brand].add(source)
    return {name for name, sets in marked.items() if 2 * len(sets) >= len(plain[name])}


def family_of(text: str) -> str:
    """Returns the first word of a name, in the singular: "arrow" for "arrows left"."""
    word = text.split(" ")[0]
    plural = len(word) > 3 and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if plural else word


def _words(name: str, prefixes: Collection[str]) -> list[str]:
    joined = re.sub(r"two[-_ ]tone", "twotone", name.lower())
    words = [word for word in re.split(r"[-_. ]+", joined) if word]
    while len(words) > 1 and words[0] in prefixes:
        words = words[1:]
    return words


def _tail(words: list[str], styles: Collection[str]) -> list[str]:
    """Returns the words of style at the end. The first word of a name is never one of them."""
    start = len(words)
    while start > 1 and (words[start - 1] in styles or words[start - 1].isdigit()):
        start -= 1
    return words[start:]


def _plain(words: list[str], styles: Collection[str]) -> Name:
    tail = _tail(words, styles)
    filled = True if _FILLED & set(tail) else False if _OUTLINED & set(tail) else None
    size = next((int(word.removesuffix("px")) for word in tail if re.match(r"[1-9]\d", word)), 24)
    return Name(" ".join(words[: len(words) - len(tail)]), filled, size)


def _logo_of(text: str) -> str | None:
    found = re.match(r"(?:brand|logo) (.+)$|(.+) (?:logo|wordmark)$", text)
    return (found[1] or found[2]) if found else None
