"""Sentences that a picture entails, contradicts or leaves open."""

import re

import numpy as np
import pytest
from emoji_tasks import emoji_entailment, facts
from emoji_tasks.categories import KINDS, members
from emoji_tasks.entailment import entail

from tests.examples.emoji_tasks.task_data import assert_tells_nothing, made_up
from tests.reference.sentences import follows


@pytest.fixture
def task(data):
    return entail(data, "twemoji", 60, 30, 0)


def test_what_follows_on_counts(data, task):
    assert task.answers == ("contradiction", "neutral", "entailment")
    masks = {(one, kind.many): members(data, one) for one, kind in KINDS.items()}
    for row in np.flatnonzero(task.kind == "count")[::5]:
        items = task.item[task.cells[row, 0]]
        assert (items == -1).sum() == 1
        counts = {names: int(mask[items[items >= 0]].sum()) for names, mask in masks.items()}
        assert follows(str(task.texts[row]), counts, hidden=1) == task.labels[row], task.texts[row]


def test_what_follows_on_people(data, task):
    """Read from the sentence and from the code points of who is shown."""
    names = {
        facts.figure_of(c): n
        for c, n in zip(data.characters, data.texts["en"], strict=True)
        if is_neutral(c)
    }
    checked = set()
    for row in np.flatnonzero(task.kind == "person")[::5]:
        (place,) = task.cells[row, 0][task.cells[row, 0] >= 0]
        character = data.characters[task.item[place]]
        who, gender, tone = re.fullmatch(
            r"(?:This is|The picture shows|Here you can see) an? (.+?)(?: who is a (woman|man)| with (\S+) skin)\.",
            task.texts[row],
        ).groups()
        said, shown = (
            (gender, facts.gender_of(character)) if gender else (tone, facts.tone_of(character))
        )
        if names[facts.figure_of(character)] != who:
            expected = 0
        else:
            expected = 1 if shown in ("person", None) else 2 * (said == shown)
        assert task.labels[row] == expected, (task.texts[row], character)
        checked.add((bool(gender), expected))
    assert len(checked) == 6
    # A judge is a person too.
    assert not any(
        re.search(r"\ba person (who|with (light|medium|dark))|hair|beard", text)
        for text in task.texts
    )


def is_neutral(character):
    return facts.gender_of(character) == "person" and not set(character) & set(facts.TONES)


def test_the_sentence_tells_nothing(task):
    assert_tells_nothing(task.texts, task)


def test_the_picture_tells_nothing(task):
    assert_tells_nothing(task.cells, task)


def test_places_numbers_and_length_tell_nothing(task):
    there = task.cells >= 0
    covered = there & (task.item[task.cells] == -1)
    assert_tells_nothing(there, task)
    assert_tells_nothing(covered, task)
    assert_tells_nothing([len(text) for text in task.texts], task)


def test_one_drawing_in_four_is_covered_where_things_are_counted(task):
    things = task[task.kind == "count"]
    there = things.cells[:, 0] >= 0
    assert there.all()
    covered = task.item[things.cells[:, 0]] == -1
    assert (covered.sum(axis=1) == 1).all()
    assert (covered.mean(axis=0) > 0.1).all()
    (card,) = np.flatnonzero(task.item == -1)
    assert task.family[card] == task.style[card] == ""
    middle = task.drawings.shape[1] // 2
    assert (task.drawings[card, middle, middle] == 128).all()


def test_people_stand_alone(task):
    there = task[task.kind == "person"].cells[:, 0] >= 0
    assert (there.sum(axis=1) == 1).all()
    assert (there.mean(axis=0) > 0.1).all()


def test_groups_are_as_many_as_were_asked_for():
    task = entail(made_up(), "openmoji", 9, 4, 0)
    train, tests = 9 * 9 + 3 * 24, 4 * 9 + 24
    assert [int((task.split == split).sum()) for split in dict.fromkeys(task.split)] == [
        train,
        *[tests] * 4,
    ]


@pytest.mark.parametrize(("kinds", "train"), [(("count",), 9 * 9), (("person",), 3 * 24)])
def test_only_some_kinds_of_sentences(kinds, train):
    task = entail(made_up(), "twemoji", 9, 4, 0, kinds)
    assert set(task.kind) == set(kinds)
    assert (task.split == "train").sum() == train


@pytest.mark.parametrize("kinds", ["count", (), ("count", "presence"), ("people",)])
def test_kinds_are_those_that_there_are(kinds):
    with pytest.raises(
        ValueError,
        match=r"`kinds` must be a tuple of some of \('count', 'person'\). Received: kinds=",
    ):
        emoji_entailment(kinds=kinds)
