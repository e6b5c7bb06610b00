"""Facts from code points and names, and kinds of things."""

import numpy as np
import pytest
from emoji_tasks import facts
from emoji_tasks.categories import KINDS, emoji_kinds, members, with_article

from tests.examples.emoji_tasks.task_data import made_up

WAVE, RUNNER, ADULT, WOMAN, MAN = (
    "\U0001f44b",
    "\U0001f3c3",
    "\U0001f9d1",
    "\U0001f469",
    "\U0001f468",
)
LIGHT, DARK, ZWJ, VS, ROCKET = "\U0001f3fb", "\U0001f3ff", "\u200d", "\ufe0f", "\U0001f680"


@pytest.mark.parametrize(
    ("character", "tone"),
    [
        (WAVE, None),
        (WAVE + DARK, "dark"),
        (WAVE + "\U0001f3fc", "medium-light"),
        (MAN + LIGHT + ZWJ + ROCKET, "light"),
        (ADULT + LIGHT + ZWJ + "\U0001f91d" + ZWJ + ADULT + DARK, None),  # two people, two tones
    ],
)
def test_tone_of_an_emoji(character, tone):
    assert facts.tone_of(character) == tone


@pytest.mark.parametrize(
    ("character", "gender"),
    [
        (RUNNER + ZWJ + "\u2640" + VS, "woman"),
        (RUNNER + DARK + ZWJ + "\u2642" + VS, "man"),
        (RUNNER, "person"),
        (WOMAN + LIGHT + ZWJ + ROCKET, "woman"),
        (ADULT + ZWJ + ROCKET, "person"),
        (WOMAN + ZWJ + "\u2764" + VS + ZWJ + MAN, None),
        (ADULT + ZWJ + "\U0001f91d" + ZWJ + ADULT, None),
    ],
)
def test_gender_of_an_emoji(character, gender):
    assert facts.gender_of(character) == gender


def test_figure_ignores_tone_and_gender():
    runners = [
        RUNNER,
        RUNNER + DARK,
        RUNNER + ZWJ + "\u2640" + VS,
        RUNNER + LIGHT + ZWJ + "\u2642" + VS,
    ]
    astronauts = [p + tone + ZWJ + ROCKET for p in (ADULT, WOMAN, MAN) for tone in ("", DARK)]
    assert (
        len({facts.figure_of(c) for c in runners})
        == len({facts.figure_of(c) for c in astronauts})
        == 1
    )
    right = RUNNER + ZWJ + "\u2640" + VS + ZWJ + "\u27a1" + VS
    assert (
        facts.figure_of(right)
        == facts.figure_of(RUNNER + ZWJ + "\u27a1" + VS)
        != facts.figure_of(RUNNER)
    )
    assert facts.figure_of(RUNNER) != facts.figure_of(astronauts[0])


def test_hair_of_people():
    hair = {"\U0001f9b0": "red", "\U0001f9b1": "curly", "\U0001f9b3": "white", "\U0001f9b2": "bald"}
    for code, name in hair.items():
        assert facts.hair_of(WOMAN + DARK + ZWJ + code) == name
        assert facts.hair_of(code) is None
    assert facts.hair_of("\U0001f471" + ZWJ + "\u2640" + VS) == "blond"
    assert facts.hair_of(WOMAN) is None


def test_time_of_clocks():
    assert [facts.time_of(c) for c in "\U0001f552\U0001f55e\U0001f55b\U0001f567\U0001f4a1"] == [
        "three o'clock",
        "half past three",
        "twelve o'clock",
        "half past twelve",
        None,
    ]


def test_labels_of_keycaps():
    assert [
        facts.key_of(c) for c in ("7" + VS + "\u20e3", "#" + VS + "\u20e3", "\U0001f51f", "7", WAVE)
    ] == [
        "7",
        "#",
        "10",
        None,
        None,
    ]


def test_directions_of_arrows_and_hands():
    for up, down, left, right in (
        "\u2b06\u2b07\u2b05\u27a1",
        "\U0001f446\U0001f447\U0001f448\U0001f449",
    ):
        directions = [facts.direction_of(c) for c in (up, down, left, right)]
        assert directions == ["up", "down", "left", "right"]
    assert facts.direction_of("\u27a1" + VS) == facts.direction_of("\U0001f449" + DARK) == "right"
    # A person who runs to the right does not point to the right.
    assert facts.direction_of(RUNNER + ZWJ + "\u27a1" + VS) is None


@pytest.mark.parametrize(
    ("name", "color"),
    [
        ("red heart", "red"),
        ("black medium-small square", "black"),
        ("large orange diamond", "orange"),
        ("light blue heart", None),
        ("white square button", None),
        ("man red hair", None),
        ("orange", None),
        ("Redwood square", None),
    ],
)
def test_color_of_a_name(name, color):
    assert facts.color_of(name) == color


def test_unique_flags():
    def flag(letters):
        return "".join(chr(0x1F1E6 + ord(letter) - ord("A")) for letter in letters)

    assert facts.has_unique_flag(flag("FR"))
    assert not facts.has_unique_flag(flag("BV"))  # the flag of Norway
    assert not facts.has_unique_flag(flag("F"))
    assert not facts.has_unique_flag("FR")


def test_figures_exist_as_woman_man_and_person():
    data = made_up()
    figures = facts.figures(data)
    assert len(figures) == 9
    for genders in figures.values():
        assert set(genders) == {"woman", "man", "person"}
        for gender, tones in genders.items():
            assert list(tones) == [None, "light", "medium-light", "medium", "medium-dark", "dark"]
            words = {data.texts["en"][row].split()[0] for row in tones.values()}
            assert words == {gender if gender != "person" else "worker"}


def test_article_of_a_noun():
    assert [with_article(noun) for noun in ("bird", "animal", "artist", "elf")] == [
        "a bird",
        "an animal",
        "an artist",
        "an elf",
    ]


def test_kinds_are_disjoint_unless_one_is_a_part_of_the_other():
    for name, kind in KINDS.items():
        for other, second in KINDS.items():
            shared = {*kind.subgroups} & {*second.subgroups} if name != other else set()
            assert not shared, (name, other)
            assert name not in second.parts or not second.subgroups


def test_members_of_a_kind():
    data = made_up()
    birds = members(data, "bird")
    assert data.texts["en"][birds].tolist() == [f"birds {i}" for i in range(7)]
    parts = [members(data, part) for part in KINDS["animal"].parts]
    np.testing.assert_array_equal(members(data, "animal"), np.sum(parts, axis=0, dtype=bool))
    kinds = emoji_kinds(data)
    assert set(kinds) == set(KINDS)
    np.testing.assert_array_equal(kinds["bird"], birds)
    both = data[birds | members(data, "drink")]
    both.texts["en"][:3] = ["feather", "birds 1", "birds 2"]
    both.texts["en"][7:9] = ["clinking glasses", "tropical drink"]
    assert members(both, "bird").sum() == 6
    assert members(both, "drink").sum() == 6
    assert members(both, "drink", single=True).sum() == 5
