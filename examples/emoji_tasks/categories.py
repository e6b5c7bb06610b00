"""Kinds of things: Unicode's subgroups, without the members that are no good example of them."""

import dataclasses

import numpy as np

from emoji_tasks.facts import TONES


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of thing that a sentence can name.

    Attributes:
        many: Its plural.
        subgroups: Unicode's subgroups that hold it.
        without: English names in those subgroups that are left out: a part or a trace of the thing (a feather is no
            bird), a member that another kind could claim too (a dolphin is a mammal in the sea), and a drawing with
            another kind in it (a smiley with hearts).
        several: English names of members whose drawing shows more than one: left out where things are counted.
        only: If there are any, only these.
        parts: Names of the kinds that it is made of, instead of all that.
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
            "station, manual wheelchair, motorized wheelchair, skateboard, roller skate, bus stop, motorway, "
            "railway track, oil drum, fuel pump, wheel, police car light, horizontal traffic light, "
            "vertical traffic light, stop sign, construction, mountain railway"
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
            "building construction, brick, rock, wood, house with garden, love hotel, wedding, Tokyo tower, "
            "Statue of Liberty, shinto shrine"
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
            "hammer, axe, pick, hammer and pick, hammer and wrench, carpentry saw, wrench, screwdriver, clamp, "
            "toolbox, ladder, shovel"
        ),
    ),
    "piece of clothing": Kind(
        "pieces of clothing",
        ("clothing",),
        _names(
            "glasses, sunglasses, folding hand fan, purse, handbag, clutch bag, shopping bags, backpack, hair pick, "
            "crown, prayer beads, lipstick, ring, gem stone"
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
            "smiling face with hearts, smiling face with heart-eyes, face blowing a kiss, face with head-bandage"
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
    """Which emoji are of each kind of thing that the tasks composed from emoji speak of.

    Captions for pre-training: "a bird", or "an animal", which is made of kinds as well.

    Args:
        data: An `Emoji`, as `load_emoji` returns it.

    Returns:
        Dict from the name of a kind, in the singular, to bool `(items,)`. No emoji with a skin tone is of any kind.
    """
    return {name: members(data, name) for name in KINDS}


def members(data, name, single=False):
    """Which emoji are of a kind, `(items,)` bool; none with a skin tone is.

    Args:
        data: An `Emoji`.
        name: A key of `KINDS`.
        single: Whether to leave out the drawings that show more than one.
    """
    kind = KINDS[name]
    if kind.parts:
        return np.any([members(data, part, single) for part in kind.parts], axis=0)
    names = data.texts["en"]
    found = np.isin(data.subgroup, kind.subgroups) & ~np.isin(names, list(kind.without))
    found &= ~np.array([any(c in TONES for c in character) for character in data.characters], bool)
    if single:
        found &= ~np.isin(names, list(kind.several))
    return found & np.isin(names, list(kind.only)) if kind.only else found


def with_article(name):
    """A noun with "a" or "an".

    Example:

    >>> with_article("bird"), with_article("animal")
    ('a bird', 'an animal')
    """
    return ("an " if name[0] in "aeiouAEIOU" else "a ") + name
