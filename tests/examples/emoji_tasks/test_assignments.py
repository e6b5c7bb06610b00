"""Names of one of two pictures, or of neither."""

import numpy as np
import pytest
from emoji_tasks.assignments import assign
from emoji_tasks.facts import TONES

from tests.examples.emoji_tasks.task_data import assert_tells_nothing, made_up


@pytest.fixture
def task(data):
    return assign(data, "twemoji", 60, 30, 0)


def shown(task):
    """Returns the item in each of both pictures, `(examples, 2)`."""
    return task.item[task.cells.max(axis=2)]


def test_label_is_the_picture_with_the_name(data, task):
    names = data.texts["en"][shown(task)]
    assert task.answers == ("first", "second", "neither")
    for (first, second), text, label in zip(names, task.texts, task.labels, strict=True):
        assert (first == text, second == text) == (label == 0, label == 1)


def test_name_alone_and_pictures_alone_tell_nothing(task):
    assert_tells_nothing(task.texts, task)
    assert_tells_nothing(task.cells, task)
    assert_tells_nothing(task.cells >= 0, task)
    assert_tells_nothing([len(text) for text in task.texts], task)


def test_each_picture_has_one_drawing_in_any_place(task):
    is_drawing = task.cells >= 0
    assert is_drawing.shape[1:] == (2, 9)
    assert (is_drawing.sum(axis=2) == 1).all()
    assert is_drawing.any(axis=0).all()


def test_both_pictures_show_different_families_without_skin_tones(data, task):
    first, second = shown(task).T
    assert (data.family[first] != data.family[second]).all()
    assert not any(c in TONES for i in np.unique(first) for c in data.characters[i])


def test_half_of_the_groups_are_of_one_subgroup(data, task):
    first, second = data.subgroup[shown(task)].T
    alike = task.kind == "alike"
    assert set(task.kind) == {"any", "alike"}
    assert (first[alike] == second[alike]).all()
    assert np.mean(alike) == pytest.approx(0.5, abs=0.15)  # 4 standard deviations for 180 groups
    assert np.mean(first[~alike] == second[~alike]) < 0.5


def test_number_of_groups_is_the_argument():
    task = assign(made_up(), "openmoji", 12, 7, 0)
    assert [int((task.split == split).sum()) for split in dict.fromkeys(task.split)] == [
        108,
        63,
        63,
        63,
        63,
    ]
