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


def test_labels_of_counts_follow_from_the_picture(data, task):
    assert task.answers == ("contradiction", "neutral", "entailment")
    masks = {(one, kind.many): members(data, one) for one, kind in KINDS.items()}
    for row in np.flatnonzero(task.kind == "count")[::5]:
        items = task.item[task.cells[row, 0]]
        assert (items == -1).sum() == 1
        counts = {names: int(mask[items[items >= 0]].sum()) for names, mask in masks.items()}
        assert follows(str(task.texts[row]), counts, hidden=1) == task.labels[row], task.texts[row]


def test_labels_of_people_follow_from_the_picture(data, task):
    """The expected label is read from the sentence and from the code points of the figure."""
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
            r"(?:This is|The picture shows|Here you can see) an? (.+?)"
            r"(?: who is a (woman|man)| with (\S+) skin)\.",
            task.texts[row],
        ).groups()
        stated, shown = (
            (gender, facts.gender_of(character)) if gender else (tone, facts.tone_of(character))
        )
        if names[facts.figure_of(character)] != who:
            expected = 0
        else:
            expected = 1 if shown in ("person", None) else 2 * (stated == shown)
        assert task.labels[row] == expected, (task.texts[row], character)
        checked.add((bool(gender), expected))
    assert len(checked) == 6
    # A sentence about "a person" would be true of every figure.
    assert not any(
        re.search(r"\ba person (who|with (light|medium|dark))|hair|beard", text)
        for text in task.texts
    )


def is_neutral(character):
    return facts.gender_of(character) == "person" and not set(character) & set(facts.TONES)


def test_sentence_alone_tells_nothing(task):
    assert_tells_nothing(task.texts, task)


def test_picture_alone_tells_nothing(task):
    assert_tells_nothing(task.cells, task)


def test_places_counts_and_length_tell_nothing(task):
    is_drawing = task.cells >= 0
    covered = is_drawing & (task.item[task.cells] == -1)
    assert_tells_nothing(is_drawing, task)
    assert_tells_nothing(covered, task)
    assert_tells_nothing([len(text) for text in task.texts], task)


def test_one_of_four_drawings_is_covered_in_counts(task):
    things = task[task.kind == "count"]
    assert (things.cells[:, 0] >= 0).all()
    covered = task.item[things.cells[:, 0]] == -1
    assert (covered.sum(axis=1) == 1).all()
    assert (covered.mean(axis=0) > 0.1).all()
    (card,) = np.flatnonzero(task.item == -1)
    assert task.family[card] == task.style[card] == ""
    middle = task.drawings.shape[1] // 2
    assert (task.drawings[card, middle, middle] == 128).all()


def test_picture_of_a_person_has_one_drawing(task):
    is_drawing = task[task.kind == "person"].cells[:, 0] >= 0
    assert (is_drawing.sum(axis=1) == 1).all()
    assert (is_drawing.mean(axis=0) > 0.1).all()


def test_number_of_groups_is_the_argument():
    task = entail(made_up(), "openmoji", 9, 4, 0)
    train, tests = 9 * 9 + 3 * 24, 4 * 9 + 24
    assert [int((task.split == split).sum()) for split in dict.fromkeys(task.split)] == [
        train,
        *[tests] * 4,
    ]


@pytest.mark.parametrize(("kinds", "train"), [(("count",), 9 * 9), (("person",), 3 * 24)])
def test_kinds_select_the_sentences(kinds, train):
    task = entail(made_up(), "twemoji", 9, 4, 0, kinds)
    assert set(task.kind) == set(kinds)
    assert (task.split == "train").sum() == train


@pytest.mark.parametrize("kinds", ["count", (), ("count", "presence"), ("people",)])
def test_unknown_kinds_raise(kinds):
    with pytest.raises(
        ValueError,
        match=r"`kinds` must be a tuple of some of \('count', 'person'\). Received: kinds=",
    ):
        emoji_entailment(kinds=kinds)
