"""Kinds of things: Unicode's subgroups without unclear members."""

import dataclasses

import numpy as np

from emoji_tasks.facts import TONES


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of thing that a sentence can name.

    Attributes:
        many: Plural of the name.
        subgroups: Unicode's subgroups of this kind.
        without: English names in those subgroups that are excluded: a part or a trace of the thing
            (a feather is not a bird), a member that also fits another kind (a dolphin is a mammal
            in the sea), and a drawing that contains another kind (a smiley with hearts).
        several: English names of members whose drawing shows more than one thing. They are excluded
            from counts.
        only: If not empty, the only members.
        parts: Names of other kinds whose union this kind is. It then has no other attributes.
    """

    many: str
    subgroups: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    several: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    parts: tuple[str, ...] = ()


def _names(text):
    return frozenset(text.split(", "))


KINDS = {
    "mammal": Kind("mammals", ("animal-mammal",), _names("paw prints, pig nose")),
    "bird": Kind("birds", ("animal-bird",), _names("feather, wing")),
    "bug": Kind("bugs", ("animal-bug",), _names("snail, spider web, worm, microbe")),
    "sea animal": Kind(
        "sea animals",
        ("animal-marine",),
        _names("spouting whale, whale, dolphin, seal, spiral shell, coral"),
    ),
    "animal": Kind("animals", parts=("mammal", "bird", "bug", "sea animal")),
    "flower": Kind("flowers", ("plant-flower",), _names("bouquet, white flower, rosette")),
    "fruit": Kind(
        "fruits", ("food-fruit",), _names("tomato, olive"), _names("grapes, cherries, blueberries")
    ),
    "vegetable": Kind(
        "vegetables",
        ("food-vegetable",),
        _names("avocado, peanuts, chestnut, brown mushroom"),
        _names("beans"),
    ),
    "sweet": Kind("sweets", ("food-sweet",), _names("shortcake, cupcake, honey pot")),
    "drink": Kind(
        "drinks",
        ("drink",),
        _names("baby bottle, teapot, tropical drink, pouring liquid, ice"),
        _names("sake, clinking beer mugs, clinking glasses"),
    ),
    "land vehicle": Kind(
        "land vehicles",
        ("transport-ground",),
        _names(
            "station, manual wheelchair, motorized wheelchair, skateboard, roller skate, bus stop, "
            "motorway, railway track, oil drum, fuel pump, wheel, police car light, "
            "horizontal traffic light, vertical traffic light, stop sign, construction, "
            "mountain railway"
        ),
    ),
    "boat": Kind("boats", ("transport-water",), _names("anchor, ring buoy")),
    "aircraft": Kind(
        "aircraft",
        ("transport-air",),
        _names("parachute, seat, suspension railway, mountain cableway, aerial tramway, satellite"),
    ),
    "vehicle": Kind("vehicles", parts=("land vehicle", "boat", "aircraft")),
    "building": Kind(
        "buildings",
        ("place-building", "place-religious"),
        _names(
            "building construction, brick, rock, wood, house with garden, love hotel, wedding, "
            "Tokyo tower, Statue of Liberty, shinto shrine"
        ),
        _names("houses"),
    ),
    "musical instrument": Kind(
        "musical instruments", ("musical-instrument",), several=_names("maracas")
    ),
    "tool": Kind(
        "tools",
        ("tool",),
        several=_names("hammer and pick, hammer and wrench"),
        only=_names(
            "hammer, axe, pick, hammer and pick, hammer and wrench, carpentry saw, wrench, "
            "screwdriver, clamp, toolbox, ladder, shovel"
        ),
    ),
    "piece of clothing": Kind(
        "pieces of clothing",
        ("clothing",),
        _names(
            "glasses, sunglasses, folding hand fan, purse, handbag, clutch bag, shopping bags, "
            "backpack, hair pick, crown, prayer beads, lipstick, ring, gem stone"
        ),
        _names("gloves, socks, bikini, thong sandal, ballet shoes"),
    ),
    "smiley": Kind(
        "smileys",
        (
            "face-smiling",
            "face-affection",
            "face-tongue",
            "face-hand",
            "face-neutral-skeptical",
            "face-sleepy",
            "face-unwell",
            "face-hat",
            "face-glasses",
            "face-concerned",
        ),
        _names(
            "smiling face with hearts, smiling face with heart-eyes, face blowing a kiss, "
            "face with head-bandage"
        ),
    ),
    "heart": Kind(
        "hearts",
        ("heart",),
        _names("love letter, heart decoration, heart exclamation"),
        _names("two hearts, revolving hearts, growing heart, beating heart"),
    ),
}


def emoji_kinds(data):
    """Returns the members of each kind of thing that the tasks name.

    The names can be captions for pre-training: "a bird", or "an animal", a union of kinds.

    Args:
        data: An `Emoji`, as returned by `load_emoji`.

    Returns:
        Dict from the singular name of a kind to bool `(items,)`. An emoji with a skin tone is not a
        member of any kind.
    """
    return {name: members(data, name) for name in KINDS}


def members(data, name, single=False):
    """Returns the members of a kind, bool `(items,)`. An emoji with a skin tone is never a member.

    Args:
        data: An `Emoji`.
        name: A key of `KINDS`.
        single: Whether to exclude drawings that show more than one thing.
    """
    kind = KINDS[name]
    if kind.parts:
        return np.any([members(data, part, single) for part in kind.parts], axis=0)
    names = data.texts["en"]
    is_member = np.isin(data.subgroup, kind.subgroups) & ~np.isin(names, list(kind.without))
    is_member &= ~np.array(
        [any(c in TONES for c in character) for character in data.characters], bool
    )
    if single:
        is_member &= ~np.isin(names, list(kind.several))
    return is_member & np.isin(names, list(kind.only)) if kind.only else is_member


def with_article(name):
    """Returns a noun with "a" or "an".

    Example:

    >>> with_article("bird"), with_article("animal")
    ('a bird', 'an animal')
    """
    return ("an " if name[0] in "aeiouAEIOU" else "a ") + name
