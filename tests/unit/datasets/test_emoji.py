"""Families, arrays and cache of `load_emoji`, without its packages."""

import dataclasses

import numpy as np
import pytest

from keras_contrastive.datasets import Emoji, family_of, load_emoji
from keras_contrastive.datasets import _emoji as module

TONE, DARK = "\U0001f3fb", "\U0001f3ff"
ZWJ, VS, FEMALE, MALE, RIGHT = "\u200d", "\ufe0f", "\u2640", "\u2642", "\u27a1"
ADULT, WOMAN, MAN, GIRL, BOY = "\U0001f9d1", "\U0001f469", "\U0001f468", "\U0001f467", "\U0001f466"
RUNNER, CANE, WAVE, HEART, KISS = "\U0001f3c3", "\U0001f9af", "\U0001f44b", "\u2764", "\U0001f48b"
HANDS = "\U0001f91d"

SIBLINGS = {
    "tones": [
        (WAVE, "waving hand"),
        (WAVE + TONE, "waving hand: light skin tone"),
        (WAVE + DARK, "waving hand: dark skin tone"),
    ],
    "genders_by_sign": [
        (RUNNER, "person running"),
        (RUNNER + ZWJ + FEMALE + VS, "woman running"),
        (RUNNER + ZWJ + MALE + VS, "man running"),
        (RUNNER + DARK + ZWJ + MALE + VS, "man running: dark skin tone"),
        (RUNNER + ZWJ + RIGHT + VS, "person running facing right"),
        (RUNNER + ZWJ + FEMALE + VS + ZWJ + RIGHT + VS, "woman running facing right"),
    ],
    "genders_by_figure": [
        (ADULT + ZWJ + "\U0001f680", "astronaut"),
        (WOMAN + ZWJ + "\U0001f680", "woman astronaut"),
        (MAN + TONE + ZWJ + "\U0001f680", "man astronaut: light skin tone"),
    ],
    "hair_and_age": [
        (ADULT, "person"),
        (WOMAN, "woman"),
        (BOY, "boy"),
        (GIRL + TONE, "girl: light skin tone"),
        ("\U0001f476", "baby"),
        ("\U0001f474", "old man"),
        ("\U0001f471" + ZWJ + FEMALE + VS, "woman: blond hair"),
        ("\U0001f9d4", "person: beard"),
        (MAN + ZWJ + "\U0001f9b0", "man: red hair"),
        (WOMAN + DARK + ZWJ + "\U0001f9b2", "woman: dark skin tone, bald"),
    ],
    "white_cane": [
        (ADULT + ZWJ + CANE, "person with white cane"),
        (MAN + ZWJ + CANE + ZWJ + RIGHT + VS, "man with white cane facing right"),
    ],
    "families": [
        ("\U0001f46a", "family"),
        (ZWJ.join([MAN, WOMAN, BOY]), "family: man, woman, boy"),
        (ZWJ.join([WOMAN, GIRL]), "family: woman, girl"),
        (ZWJ.join([ADULT, "\U0001f9d2"]), "family: adult, child"),
    ],
    "kiss": [
        ("\U0001f48f", "kiss"),
        ("\U0001f48f" + DARK, "kiss: dark skin tone"),
        (ZWJ.join([WOMAN, HEART + VS, KISS, MAN]), "kiss: woman, man"),
    ],
    "couples": [
        ("\U0001f491", "couple with heart"),
        (ZWJ.join([MAN, HEART + VS, MAN]), "couple with heart: man, man"),
        (
            ZWJ.join([MAN + TONE, HEART + VS, MAN + DARK]),
            "couple with heart: man, man, light skin tone, dark skin tone",
        ),
    ],
    "holding_hands": [
        ("\U0001f46d", "women holding hands"),
        ("\U0001f46b" + TONE, "woman and man holding hands: light skin tone"),
        (ZWJ.join([ADULT, HANDS, ADULT]), "people holding hands"),
    ],
    "claus": [
        ("\U0001f385", "Santa Claus"),
        ("\U0001f936", "Mrs. Claus"),
        (ADULT + ZWJ + "\U0001f384", "Mx Claus"),
    ],
    "feeding": [("\U0001f931", "breast-feeding"), (MAN + ZWJ + "\U0001f37c", "man feeding baby")],
    "mermaid": [
        ("\U0001f9dc", "merperson"),
        ("\U0001f9dc" + ZWJ + FEMALE + VS, "mermaid"),
        ("\U0001f9dc" + TONE + ZWJ + MALE + VS, "merman: light skin tone"),
    ],
    "royalty": [
        ("\U0001f934", "prince"),
        ("\U0001f478" + DARK, "princess: dark skin tone"),
        ("\U0001fac5", "person with crown"),
    ],
    "dancers": [("\U0001f483", "woman dancing"), ("\U0001f57a", "man dancing")],
    "pregnant": [("\U0001f930", "pregnant woman"), ("\U0001fac3", "pregnant man")],
}
# Each is the only emoji of its family.
ALONE = {
    "cat": ("\U0001f408", "cat"),
    "black_cat": ("\U0001f408" + ZWJ + "\u2b1b", "black cat"),
    "kiss_mark": (KISS, "kiss mark"),
    "kissing_face": ("\U0001f617", "kissing face"),
    "heart": (HEART + VS, "red heart"),
    "rocket": ("\U0001f680", "rocket"),
    "white_cane_alone": (CANE, "white cane"),
    "right_arrow": (RIGHT + VS, "right arrow"),
    "left_arrow": ("\u2b05" + VS, "left arrow"),
    "female_sign": (FEMALE + VS, "female sign"),
    "male_sign": (MALE + VS, "male sign"),
    "red_hair": ("\U0001f9b0", "red hair"),
    "light_tone": (TONE, "light skin tone"),
    "keycap_1": ("1" + VS + "\u20e3", "keycap: 1"),
    "keycap_2": ("2" + VS + "\u20e3", "keycap: 2"),
    "france": ("\U0001f1eb\U0001f1f7", "flag: France"),
    "rainbow_flag": ("\U0001f3f3" + VS + ZWJ + "\U0001f308", "rainbow flag"),
    "handshake": (HANDS, "handshake"),
}


@pytest.mark.parametrize("siblings", SIBLINGS.values(), ids=SIBLINGS.keys())
def test_siblings_have_the_same_family(siblings):
    assert len({family_of(*sibling) for sibling in siblings}) == 1


def test_other_emoji_have_different_families():
    families = [family_of(*siblings[0]) for siblings in SIBLINGS.values()]
    families += [family_of(*one) for one in ALONE.values()]
    assert len(set(families)) == len(SIBLINGS) + len(ALONE)


@pytest.mark.parametrize(
    "name", ["cat", "rocket", "france", "kissing_face", "red_hair", "light_tone"]
)
def test_an_emoji_without_modifiers_is_its_own_family(name):
    assert family_of(*ALONE[name]).replace(" ", "") == ALONE[name][0]


# The arrays


def made_up(rows=3, size=4):
    """Returns an `Emoji` with random pixels and invented names."""
    generator = np.random.default_rng(rows)
    names = np.array([f"name {i}" for i in range(rows)])
    return Emoji(
        characters=np.array(
            ["\U0001f408", RUNNER + ZWJ + FEMALE + VS, "\U0001f1eb\U0001f1f7"] * rows
        )[:rows],
        images=generator.integers(0, 256, (rows, 2, size, size, 3), "uint8"),
        texts={language: np.char.add(f"{language} ", names) for language in module.LANGUAGES},
        group=np.array(["animals", "people", "flags"] * rows)[:rows],
        subgroup=np.array(["mammal", "activity", "country-flag"] * rows)[:rows],
        family=np.array(["cat", "runner", "fr"] * rows)[:rows],
        is_flag=np.array([False, False, True] * rows)[:rows],
        split=np.array(["train", "test", "validation"] * rows)[:rows],
    )


def assert_equal(one, other):
    for field in dataclasses.fields(Emoji):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "texts":
            assert list(a) == list(b)
            for language, names in a.items():
                np.testing.assert_array_equal(names, b[language])
        else:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "rows",
    [slice(1, 5, 2), np.array([False, True, False, True, False, False]), np.array([1, 3]), [1, 3]],
    ids=["slice", "mask", "indices", "list"],
)
def test_rows_are_selected_in_every_array(rows):
    data = made_up(6)
    chosen = data[rows]
    assert len(chosen) == 2
    for field in dataclasses.fields(Emoji):
        if field.name != "texts":
            np.testing.assert_array_equal(
                getattr(chosen, field.name), getattr(data, field.name)[[1, 3]]
            )
    assert list(chosen.texts) == list(module.LANGUAGES)
    assert chosen.texts["ja"].tolist() == ["ja name 1", "ja name 3"]
    assert len(data) == 6


# The cache


@pytest.fixture
def builds(monkeypatch, home):
    """Replaces the build. Returns a list of the requested builds."""
    requests = []

    def build(size, skin_tones, verbose):
        requests.append((size, skin_tones))
        return made_up(5 if skin_tones else 3, size)

    monkeypatch.setattr(module._packages, "require", lambda loader, packages: None)
    monkeypatch.setattr(module._packages, "versions", lambda packages: "1.0")
    monkeypatch.setattr(module, "_build", build)
    return requests


def test_a_cached_file_has_the_same_arrays(builds, tmp_path):
    first, second = (load_emoji(size=4, cache_dir=tmp_path, verbose=False) for _ in range(2))
    assert builds == [(4, False)]
    assert_equal(first, made_up())
    assert_equal(second, made_up())


def test_each_size_and_choice_of_skin_tones_has_its_own_cache_file(builds, tmp_path):
    for _ in range(2):
        assert load_emoji(size=4, cache_dir=tmp_path).images.shape == (3, 2, 4, 4, 3)
        assert load_emoji(size=5, cache_dir=tmp_path).images.shape == (3, 2, 5, 5, 3)
        assert len(load_emoji(size=4, skin_tones=True, cache_dir=tmp_path)) == 5
    assert builds == [(4, False), (5, False), (4, True)]


def test_another_version_of_a_package_has_its_own_cache_file(builds, tmp_path, monkeypatch):
    load_emoji(size=4, cache_dir=tmp_path)
    monkeypatch.setattr(module._packages, "versions", lambda packages: "2.0")
    load_emoji(size=4, cache_dir=tmp_path)
    assert len(builds) == 2
