"""Statements on two pictures."""

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
    """How many of each kind both pictures of an example show."""
    masks = {(one, kind.many): members(data, one) for one, kind in KINDS.items()}

    def count(row):
        items = [task.item[picture[picture >= 0]] for picture in task.cells[row]]
        return {
            names: tuple(int(mask[shown].sum()) for shown in items) for names, mask in masks.items()
        }

    return count


def test_statements_are_true_where_the_label_says_so(task, counted):
    assert task.answers == ("false", "true")
    for row in range(0, len(task), 3):
        assert is_true(str(task.texts[row]), counted(row)) == bool(task.labels[row]), task.texts[
            row
        ]


def test_every_template_is_true_and_false_where_the_reference_says_so():
    for template in TEMPLATES:
        for n in template.numbers:
            for wording in range(len(template.wordings)):
                text, seen = template.text(wording, "bird", "aircraft", n), set()
                for a, b, c, d in np.ndindex(4, 4, 4, 4):
                    counts = {("bird", "birds"): (a, c), ("aircraft", "aircraft"): (b, d)}
                    truth = is_true(text, counts)
                    assert truth == bool(template.holds((a, b), (c, d), n)), text
                    seen.add(truth)
                assert seen == {True, False}
                assert text.endswith(".")
                assert not set("{}") & set(text)


def test_the_statement_tells_nothing(task):
    assert_tells_nothing(task.texts, task)


def test_the_pictures_tell_nothing(task):
    assert_tells_nothing(task.cells, task)


def test_places_numbers_and_length_tell_nothing(task):
    there = task.cells >= 0
    assert_tells_nothing(there, task)
    assert_tells_nothing(there.sum(axis=2), task)
    # Nor does the statement together with where something is.
    assert_tells_nothing(
        [f"{text} {where}" for text, where in zip(task.texts, there.tolist(), strict=True)], task
    )
    assert_tells_nothing([len(text) for text in task.texts], task)


def test_a_picture_holds_one_to_six_drawings_anywhere(task):
    there = task.cells >= 0
    assert task.cells.shape[1:] == (2, 9)
    assert set(there.sum(axis=2).ravel()) == {1, 2, 3, 4, 5, 6}
    assert (there.mean(axis=0) > 0.2).all()


@pytest.mark.parametrize(
    ("kinds", "most"), [(("presence",), 1), (("comparison",), 2), (("count",), 3), (("count",), 9)]
)
def test_only_some_kinds_of_statements_on_fewer_drawings(kinds, most):
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
def test_kinds_are_those_that_there_are(kinds):
    with pytest.raises(
        ValueError, match=r"`kinds` must be a tuple of some of \('presence'.*Received: kinds="
    ):
        emoji_comparisons(kinds=kinds)


@pytest.mark.parametrize(
    ("kinds", "most"), [(("presence",), 10), (("comparison",), 1), (("presence", "count"), 2)]
)
def test_most_leaves_room_for_the_statements(kinds, most):
    with pytest.raises(
        ValueError, match=rf"`most` must be in \[\d, 9\] with kinds=.* Received: most={most}."
    ):
        emoji_comparisons(kinds=kinds, most=most)


def test_groups_are_as_many_as_were_asked_for():
    task = compare(made_up(), "openmoji", 12, 7, 0)
    assert [int((task.split == split).sum()) for split in dict.fromkeys(task.split)] == [
        48,
        28,
        28,
        28,
        28,
    ]
    assert set(task.kind) == {"presence", "count", "comparison"}


def test_only_things_of_a_kind_are_shown(data, task):
    of_a_kind = np.any([members(data, name, single=True) for name in KINDS], axis=0)
    assert of_a_kind[task.item].all()


def test_nobody_compares_what_is_not_there(task, counted):
    for row in np.flatnonzero((task.kind == "comparison") & (task.split == "train")):
        named = [names for names in counted(row).items() if names[0][1] in task.texts[row]]
        assert max(sum(numbers) for _, numbers in named) > 0
