"""Facts about an emoji from its code points and its English name."""

import re

import numpy as np

_JOINER, _SELECTOR = "\u200d", "\ufe0f"
TONES = dict(zip("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff", (
    "light", "medium-light", "medium", "medium-dark", "dark"
), strict=True))  # fmt: skip
_GENDERS = {"\u2640": "woman", "\U0001f469": "woman", "\u2642": "man", "\U0001f468": "man"}
_ADULT, _ADULTS = "\U0001f9d1", "\U0001f9d1\U0001f468\U0001f469"
_HAIR = {"\U0001f9b0": "red", "\U0001f9b1": "curly", "\U0001f9b3": "white", "\U0001f9b2": "bald"}
_BLOND = "\U0001f471"
_HOURS = (
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_TIMES = {chr(0x1F550 + hour): f"{word} o'clock" for hour, word in enumerate(_HOURS)}
_TIMES |= {chr(0x1F55C + hour): f"half past {word}" for hour, word in enumerate(_HOURS)}
_DIRECTIONS = {
    "up": "\u2b06\U0001f53c\u23eb\U0001f446\u261d\U0001f51d",
    "down": "\u2b07\U0001f53d\u23ec\U0001f447",
    "left": "\u2b05\u25c0\u23ea\u23ee\U0001f448\U0001faf2",
    "right": "\u27a1\u25b6\u23e9\u23ed\U0001f449\U0001faf1",
}
_DIRECTION = {
    character: direction
    for direction, characters in _DIRECTIONS.items()
    for character in characters
}
_COLORS = re.compile(r"(?<!light )\b(red|orange|yellow|green|blue|purple|brown|black|white)\b")
_OF_ONE_COLOR = re.compile(
    r"heart|circle|square|diamond|triangle|book|apple|envelope|question mark|exclamation mark"
    r"|paper lantern|black cat|brown mushroom"
)
# One of the artists draws almost no skin here.
_HARDLY_ANY_SKIN = ("in bed", "taking bath", "swimming", "rowing boat", "snowboarder")
# Subgroups of people that both artists draw large enough to show the gender, with two exceptions.
_PORTRAITS = ("person", "person-gesture", "person-role", "person-fantasy")
_ALIKE = ("bald", "astronaut")
# Territories with the flag of another one, and two countries with the same flag.
_SAME_FLAG = {
    "BV",
    "CP",
    "DG",
    "EA",
    "GF",
    "GP",
    "HM",
    "MC",
    "MF",
    "NC",
    "PM",
    "RE",
    "SJ",
    "TD",
    "UM",
    "WF",
    "YT",
}


def tone_of(character):
    """Returns the skin tone if there is exactly one, else `None`.

    Example:

    >>> tone_of("\U0001f44b\U0001f3ff"), tone_of("\U0001f44b")
    ('dark', None)
    """
    tones = [TONES[c] for c in character if c in TONES]
    return tones[0] if len(tones) == 1 else None


def gender_of(character):
    """Returns `"woman"`, `"man"`, or `"person"` for an open gender; `None` for several people.

    Example:

    >>> gender_of("\U0001f469\u200d\U0001f680"), gender_of("\U0001f9d1\u200d\U0001f680")
    ('woman', 'person')
    """
    genders = [_GENDERS[c] for c in character if c in _GENDERS]
    if len(genders) > 1 or sum(c in _ADULTS for c in character) > 1:
        return None
    return genders[0] if genders else "person"


def figure_of(character):
    """Returns the emoji without its tone and gender.

    The result is the same for the woman, the man and the person with the same role.

    Example:

    >>> figure_of("\U0001f469\U0001f3ff\u200d\U0001f680") == figure_of("\U0001f9d1\u200d\U0001f680")
    True
    """
    parts = []
    for part in character.split(_JOINER):
        kept = "".join(
            _ADULT if c in _ADULTS else c for c in part if c not in TONES and c != _SELECTOR
        )
        if kept not in ("\u2640", "\u2642"):
            parts.append(kept)
    return _JOINER.join(parts)


def hair_of(character):
    """Returns `"red"`, `"curly"`, `"white"`, `"bald"` or `"blond"`.

    Returns `None` if the code points do not define the hair, or if the emoji is not a person.

    Example:

    >>> hair_of("\U0001f468\u200d\U0001f9b2"), hair_of("\U0001f471"), hair_of("\U0001f9b2")
    ('bald', 'blond', None)
    """
    if character[0] == _BLOND:
        return "blond"
    return _HAIR.get(character[-1]) if len(character) > 1 else None


def time_of(character):
    """Returns the time of a clock face, else `None`.

    Example:

    >>> time_of("\U0001f552"), time_of("\U0001f55e")
    ("three o'clock", 'half past three')
    """
    return _TIMES.get(character)


def key_of(character):
    """Returns the label of a keycap, else `None`.

    Example:

    >>> key_of("3\ufe0f\u20e3"), key_of("\U0001f51f"), key_of("3")
    ('3', '10', None)
    """
    if character == "\U0001f51f":
        return "10"
    return character[0] if character.endswith("\u20e3") else None


def direction_of(character):
    """Returns the direction of an arrow, a button or a hand.

    It is `"up"`, `"down"`, `"left"` or `"right"`, else `None`.

    Example:

    >>> direction_of("\u2b06\ufe0f"), direction_of("\U0001f448\U0001f3fb"), direction_of("\u2197")
    ('up', 'left', None)
    """
    kept = "".join(c for c in character if c not in TONES and c != _SELECTOR)
    return _DIRECTION.get(kept)


def color_of(name):
    """Returns the color in the English name of a thing of one color, such as a heart, else `None`.

    Example:

    >>> color_of("red heart"), color_of("black cat")
    ('red', 'black')
    >>> color_of("light blue heart"), color_of("man red hair")
    (None, None)
    """
    match = _COLORS.search(name)
    if not match or not _OF_ONE_COLOR.search(name) or "button" in name:
        return None
    return match.group()


def has_unique_flag(character):
    """Returns whether an emoji is the flag of a country or region, and no other has the same flag.

    Example:

    >>> france, svalbard, cat = "\U0001f1eb\U0001f1f7", "\U0001f1f8\U0001f1ef", "\U0001f408"
    >>> [has_unique_flag(character) for character in (france, svalbard, cat)]
    [True, False, False]
    """
    letters = "".join(
        chr(ord(c) - 0x1F1E6 + ord("A")) for c in character if 0x1F1E6 <= ord(c) <= 0x1F1FF
    )
    return len(letters) == 2 and letters not in _SAME_FLAG


def skin_tones(data):
    """Returns the skin tone of each emoji of an `Emoji` that shows skin, `(items,)`, else `""`."""
    names = data.texts["en"]
    shown = (data.group == "people-and-body") & ~np.array(
        [any(w in name for w in _HARDLY_ANY_SKIN) for name in names]
    )
    return np.where(shown, [tone_of(character) or "" for character in data.characters], "")


def figures(data):
    """Returns people that exist as a woman, a man and a person, if the drawings show the gender.

    Args:
        data: An `Emoji`.

    Returns:
        A dict by `figure_of`, of dicts by gender, of dicts from the skin tone (`None` for no tone)
        to the row.
    """
    people: dict = {}
    for row, character in enumerate(data.characters):
        gender = gender_of(character)
        alike = any(word in data.texts["en"][row] for word in _ALIKE)
        if gender is None or alike or data.subgroup[row] not in _PORTRAITS:
            continue
        tones = people.setdefault(figure_of(character), {}).setdefault(gender, {})
        if tone_of(character) or not any(c in TONES for c in character):
            tones[tone_of(character)] = row
    return {figure: genders for figure, genders in people.items() if len(genders) == 3}
