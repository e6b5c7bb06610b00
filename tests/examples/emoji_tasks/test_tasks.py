"""Promises that all tasks share."""

import dataclasses
import itertools

import emoji_tasks
import numpy as np
import pytest
from emoji_tasks.assignments import assign
from emoji_tasks.comparisons import compare
from emoji_tasks.entailment import entail
from emoji_tasks.images import compose
from emoji_tasks.questions import ask

import keras_contrastive as kc
from tests.examples.emoji_tasks.task_data import made_up

MAKERS = {
    "questions": lambda data, style="twemoji", seed=0: ask(data, style, 5, seed),
    "comparisons": lambda data, style="twemoji", seed=0: compare(data, style, 40, 20, seed),
    "entailment": lambda data, style="twemoji", seed=0: entail(data, style, 40, 20, seed),
    "assignments": lambda data, style="twemoji", seed=0: assign(data, style, 40, 20, seed),
}
LOADERS = {
    "questions": (emoji_tasks.emoji_questions, {"size": 24, "most": 3}),
    "comparisons": (emoji_tasks.emoji_comparisons, {"size": 72, "groups": 10, "test_groups": 5}),
    "entailment": (emoji_tasks.emoji_entailment, {"size": 48, "groups": 10, "test_groups": 5}),
    "assignments": (emoji_tasks.emoji_assignments, {"size": 72, "groups": 10, "test_groups": 5}),
}
GRIDS = {"comparisons": 3, "entailment": 2, "assignments": 3}
BAD_SIZES = (0, -6, 72.0, True, None)
SIDES = {
    "train": "train",
    "validation": "validation",
    "test_family": "test",
    "test_style": "train",
    "test_both": "test",
}
each_task = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def assert_equal(one, other):
    for field in dataclasses.fields(emoji_tasks.EmojiTask):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@each_task
def test_equal_seeds_give_equal_tasks(make, data):
    np.random.seed(1)
    one = make(data)
    np.random.seed(2)
    assert_equal(one, make(data))
    assert one.texts.tolist() != make(data, seed=1).texts.tolist()


@each_task
def test_arrays_have_the_documented_dtypes_and_lengths(make, data):
    task = make(data)
    assert task.drawings.dtype == np.uint8
    assert task.cells.dtype == task.labels.dtype == task.item.dtype == np.int32
    assert task.texts.dtype.kind == task.kind.dtype.kind == task.split.dtype.kind == "U"
    assert (
        len({len(task), *map(len, (task.cells, task.texts, task.labels, task.kind, task.split))})
        == 1
    )
    assert len({*map(len, (task.drawings, task.item, task.family, task.style))}) == 1
    assert 0 <= task.labels.min() <= task.labels.max() < len(task.answers)
    assert list(dict.fromkeys(task.split.tolist())) == list(emoji_tasks.TASK_SPLITS)
    assert all(isinstance(answer, str) for answer in task.answers)


@each_task
@pytest.mark.parametrize("style", kc.datasets.STYLES)
def test_splits_share_no_family_and_no_style_with_other_sides(make, style, data):
    task = make(data, style)
    unseen = next(other for other in kc.datasets.STYLES if other != style)
    families = {}
    for split in emoji_tasks.TASK_SPLITS:
        shown = np.unique(task[task.split == split].cells)
        shown = shown[shown >= 0]
        shown = shown[task.item[shown] >= 0]
        assert set(task.style[shown]) == {unseen if split in ("test_style", "test_both") else style}
        assert set(data.split[task.item[shown]]) == {SIDES[split]}
        np.testing.assert_array_equal(task.family[shown], data.family[task.item[shown]])
        families[split] = set(task.family[shown])
    for first, second in itertools.combinations(families, 2):
        assert SIDES[first] == SIDES[second] or not families[first] & families[second]


@each_task
def test_each_shown_drawing_is_stored_once(make, data):
    task = make(data)
    assert set(np.unique(task.cells)) - {-1} == set(range(len(task.drawings)))
    assert len({*zip(task.item.tolist(), task.style.tolist(), strict=True)}) == len(task.drawings)
    for row in range(0, len(task.drawings), 97):
        if task.item[row] >= 0:
            expected = data.images[task.item[row], kc.datasets.STYLES.index(task.style[row])]
            np.testing.assert_array_equal(task.drawings[row], expected)


@each_task
def test_pictures_show_the_drawings_of_the_cells(make):
    task = make(made_up())
    rows = np.arange(0, len(task), 31)
    images, side = task.images(rows), task.drawings.shape[1]
    across = round(task.cells.shape[2] ** 0.5)
    assert images.dtype == np.uint8
    for image, cells in zip(images, task.cells[rows], strict=True):
        pictures = image if task.cells.shape[1] == 2 else image[None]
        assert pictures.shape == (task.cells.shape[1], across * side, across * side, 3)
        for picture, places in zip(pictures, cells, strict=True):
            for place, drawing in enumerate(places):
                y, x = side * (place // across), side * (place % across)
                expected = 255 if drawing < 0 else task.drawings[drawing]
                np.testing.assert_array_equal(
                    picture[y : y + side, x : x + side], np.broadcast_to(expected, (6, 6, 3))
                )


@each_task
def test_selected_examples_keep_their_arrays(make):
    task = make(made_up())
    rows = task.split == "test_style"
    chosen = task[rows]
    assert len(chosen) == rows.sum() > 0
    for name in ("cells", "texts", "labels", "kind", "split"):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(task, name)[rows])
    np.testing.assert_array_equal(chosen.images(), task.images(rows))
    np.testing.assert_array_equal(task.images(slice(3, 5)), task[[3, 4]].images())


@each_task
def test_examples_of_a_split_are_shuffled(make):
    task = make(made_up())
    train = task[task.split == "train"]
    assert np.corrcoef(np.arange(len(train)), train.labels)[0, 1] == pytest.approx(
        0, abs=5 / len(train) ** 0.5
    )
    assert len(set(train.kind[: len(train) // 2])) == len(set(train.kind))


def test_places_go_from_left_to_right_and_from_top_to_bottom():
    drawings = np.arange(3, dtype="uint8")[:, None, None, None] * np.ones((1, 2, 2, 3), "uint8")
    picture = compose(drawings, [[0, 1, -1, 2]])
    assert picture.shape == (1, 4, 4, 3)
    np.testing.assert_array_equal(picture[0, ::2, ::2, 0], [[0, 1], [255, 2]])
    with pytest.raises(
        ValueError, match=r"must have a square number of places. Received: cells.shape=\(1, 3\)"
    ):
        compose(drawings, [[0, 1, 2]])


# Arguments are checked before any package is imported


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("style", ["noto", "Twemoji", None, 0])
def test_unknown_style_raises(name, style):
    load, options = LOADERS[name]
    with pytest.raises(
        ValueError, match=r"`style` must be one of \('twemoji', 'openmoji'\).* Received: style="
    ):
        load(**options, style=style)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_seed_must_be_a_non_negative_integer(name, seed):
    load, options = LOADERS[name]
    with pytest.raises(ValueError, match=r"`seed` must be a non-negative integer. Received: seed="):
        load(**options, seed=seed)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("questions", "most"),
        ("comparisons", "groups"),
        ("comparisons", "test_groups"),
        ("comparisons", "most"),
        ("entailment", "groups"),
        ("entailment", "test_groups"),
        ("assignments", "groups"),
        ("assignments", "test_groups"),
    ],
)
@pytest.mark.parametrize("value", [0, -3, 2.0, True, "5"])
def test_numbers_of_examples_must_be_positive(name, argument, value):
    load, options = LOADERS[name]
    with pytest.raises(
        ValueError, match=rf"`{argument}` must be a positive integer. Received: {argument}="
    ):
        load(**options | {argument: value})


@pytest.mark.parametrize(
    ("name", "across", "size"),
    [(name, across, 73) for name, across in GRIDS.items()]
    + [
        (name, across, size)
        for name, across in {"questions": None, **GRIDS}.items()
        for size in BAD_SIZES
    ],
)
def test_size_must_be_divisible_by_the_grid(name, across, size):
    load, options = LOADERS[name]
    divisible = f" divisible by {across}, for {across} by {across} drawings" if across else ""
    with pytest.raises(
        ValueError, match=rf"`size` must be a positive integer{divisible}. Received: size="
    ):
        load(**options | {"size": size})


@pytest.mark.emoji_art
@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("name", LOADERS)
def test_loaded_pictures_have_the_requested_size(name, cache_dir):
    load, options = LOADERS[name]
    before = set(cache_dir.iterdir())
    task = load(**options, cache_dir=cache_dir, verbose=False)
    assert task.images([0]).shape == ((1, 2) if GRIDS.get(name) == 3 else (1,)) + (
        options["size"],
    ) * 2 + (3,)
    assert set(cache_dir.iterdir()) == before  # one set of drawings of 24 pixels for all
