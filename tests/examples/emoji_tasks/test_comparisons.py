"""Statements about two pictures."""

import numpy as np
import pytest
from emoji_tasks import emoji_comparisons
from emoji_tasks.categories import KINDS, members
from emoji_tasks.comparisons import compare
from emoji_tasks.statements import TEMPLATES

from tests.examples.emoji_tasks.task_data import assert_tells_nothing, made_up
from tests.reference.sentences import is_true


@pytest.fixture
def task(data):
    return compare(data, "twemoji", 60, 30, 0)


@pytest.fixture
def counted(task, data):
    """A function that counts the drawings of each kind in both pictures of an example."""
    masks = {(one, kind.many): members(data, one) for one, kind in KINDS.items()}

    def count(row):
        items = [task.item[picture[picture >= 0]] for picture in task.cells[row]]
        return {
            names: tuple(int(mask[shown].sum()) for shown in items) for names, mask in masks.items()
        }

    return count


def test_statement_is_true_if_and_only_if_the_label_is_1(task, counted):
    assert task.answers == ("false", "true")
    for row in range(0, len(task), 3):
        assert is_true(str(task.texts[row]), counted(row)) == bool(task.labels[row]), task.texts[
            row
        ]


def test_every_template_agrees_with_the_reference():
    for template in TEMPLATES:
        for n in template.numbers:
            for wording in range(len(template.wordings)):
                text, truths = template.text(wording, "bird", "aircraft", n), set()
                for a, b, c, d in np.ndindex(4, 4, 4, 4):
                    counts = {("bird", "birds"): (a, c), ("aircraft", "aircraft"): (b, d)}
                    truth = is_true(text, counts)
                    assert truth == bool(template.holds((a, b), (c, d), n)), text
                    truths.add(truth)
                assert truths == {True, False}
                assert text.endswith(".")
                assert not set("{}") & set(text)


def test_statement_alone_tells_nothing(task):
    assert_tells_nothing(task.texts, task)


def test_pictures_alone_tell_nothing(task):
    assert_tells_nothing(task.cells, task)


def test_places_counts_and_length_tell_nothing(task):
    is_drawing = task.cells >= 0
    assert_tells_nothing(is_drawing, task)
    assert_tells_nothing(is_drawing.sum(axis=2), task)
    # The statement together with the places tells nothing.
    assert_tells_nothing(
        [f"{text} {places}" for text, places in zip(task.texts, is_drawing.tolist(), strict=True)],
        task,
    )
    assert_tells_nothing([len(text) for text in task.texts], task)


def test_picture_has_one_to_six_drawings_in_any_place(task):
    is_drawing = task.cells >= 0
    assert task.cells.shape[1:] == (2, 9)
    assert set(is_drawing.sum(axis=2).ravel()) == {1, 2, 3, 4, 5, 6}
    assert (is_drawing.mean(axis=0) > 0.2).all()


@pytest.mark.parametrize(
    ("kinds", "most"), [(("presence",), 1), (("comparison",), 2), (("count",), 3), (("count",), 9)]
)
def test_arguments_select_kinds_and_limit_the_drawings(kinds, most):
    task = compare(made_up(), "twemoji", 200, 2, 0, kinds, most)
    assert set(task.kind) == set(kinds)
    assert (task.cells >= 0).sum(axis=2).max() == most
    assert_tells_nothing(task.texts, task)
    texts = "".join(task.texts)
    assert all(
        template.wordings[0].split("{")[0] in texts
        for template in TEMPLATES
        if template.kind in kinds
    )


@pytest.mark.parametrize("kinds", ["presence", (), ("presence", "color"), ("counts",)])
def test_unknown_kinds_raise(kinds):
    with pytest.raises(
        ValueError, match=r"`kinds` must be a tuple of some of \('presence'.*Received: kinds="
    ):
        emoji_comparisons(kinds=kinds)


@pytest.mark.parametrize(
    ("kinds", "most"), [(("presence",), 10), (("comparison",), 1), (("presence", "count"), 2)]
)
def test_most_must_allow_the_statements(kinds, most):
    with pytest.raises(
        ValueError, match=rf"`most` must be in \[\d, 9\] with kinds=.* Received: most={most}."
    ):
        emoji_comparisons(kinds=kinds, most=most)


def test_number_of_groups_is_the_argument():
    task = compare(made_up(), "openmoji", 12, 7, 0)
    assert [int((task.split == split).sum()) for split in dict.fromkeys(task.split)] == [
        48,
        28,
        28,
        28,
        28,
    ]
    assert set(task.kind) == {"presence", "count", "comparison"}


def test_every_drawing_belongs_to_a_kind(data, task):
    has_kind = np.any([members(data, name, single=True) for name in KINDS], axis=0)
    assert has_kind[task.item].all()


def test_compared_kinds_are_shown(task, counted):
    for row in np.flatnonzero((task.kind == "comparison") & (task.split == "train")):
        named = [names for names in counted(row).items() if names[0][1] in task.texts[row]]
        assert max(sum(numbers) for _, numbers in named) > 0
