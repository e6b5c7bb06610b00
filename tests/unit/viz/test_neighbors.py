"""Queries with their neighbors, and marks of the correct ones."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import evaluation, viz
from keras_contrastive.viz._style import CORRECT, FAINT, WRONG
from tests.unit.viz.figures import HOSTILE, IDS, ROWS, SCORES, images, texts_of

pytestmark = pytest.mark.viz


def words(figure):
    return [text.get_text() for text in texts_of(figure)]


def frame(axes):
    from matplotlib.colors import to_hex

    return to_hex(axes.spines["left"].get_edgecolor())


def shown(axes):
    return np.asarray(axes.images[0].get_array())


def by_label(figure):
    return {axes.get_label(): axes for axes in figure.axes}


def test_images_stand_in_the_order_of_the_rows_with_marks_and_scores():
    queries, corpus = images(3, seed=1), images()
    figure = viz.neighbors(queries, corpus, ROWS, SCORES, IDS[:3], IDS)
    axes = by_label(figure)
    assert len(axes) == 3 + 9
    for number in range(3):
        np.testing.assert_array_equal(shown(axes[f"query {number}"]), queries[number])
        for place, row in enumerate(ROWS[number]):
            neighbor = axes[f"query {number}, neighbor {place}"]
            np.testing.assert_array_equal(shown(neighbor), corpus[row])
            assert frame(neighbor) == (CORRECT if row == number else WRONG)
    assert figure.get_suptitle() == "3 of 3 matches are among the first 3"
    captions = words(figure)
    assert captions.count("✓ 0.90") == 1
    assert "✗ −0.25" in captions
    # The nearest neighbor stands next to its query.
    places = [axes[f"query 0, neighbor {place}"].get_position().x0 for place in range(3)]
    assert axes["query 0"].get_position().x1 < places[0] < places[1] < places[2]
    heights = [axes[f"query {number}"].get_position().y0 for number in range(3)]
    assert heights[0] > heights[1] > heights[2]


def test_results_of_a_search_are_drawn_as_they_are():
    x, corpus = np.eye(6, dtype="float32"), images()
    scores, rows = evaluation.search(x[:3], x + 0.1, k=2)
    figure = viz.neighbors(images(3), corpus, rows, scores, IDS[:3], IDS)
    assert figure.get_suptitle() == "3 of 3 matches are among the first 2"
    found = by_label(figure)["query 2, neighbor 0"]
    np.testing.assert_array_equal(shown(found), corpus[2])
    assert f"✓ {scores[2, 0]:.2f}" in words(figure)


def test_texts_have_a_line_each_with_a_mark_and_a_score():
    figure = viz.neighbors(["a query", "b", "c"], list("uvwxyz"), ROWS, SCORES, IDS[:3], IDS)
    lines = {text.get_gid(): text.get_text() for text in texts_of(figure) if text.get_gid()}
    assert lines["query 0, neighbor 0"] == "u"
    assert lines["query 1, neighbor 2"] == "x"
    found = words(figure)
    assert (found.count("✓"), found.count("✗")) == (3, 6)
    assert "0.90" in found
    assert "a query" in found


def test_notebooks_show_texts():
    """IPython shows a figure only if it has axes."""
    figure = viz.neighbors(["a query"], ["u", "v"], np.array([[1, 0]]))
    (axes,) = figure.axes
    assert not axes.axison


def test_long_texts_are_shortened_and_wrapped():
    figure = viz.neighbors(HOSTILE[-1:], HOSTILE[-1:], np.array([[0]]))
    assert sum("…" in word for word in words(figure)) == 2


def test_flat_images_have_no_empty_space():
    flat, square = (viz.neighbors(images(3, (h, 8, 3)), images(6, (h, 8, 3)), ROWS) for h in (2, 8))
    assert flat.get_figheight() < square.get_figheight() / 2
    for axes in flat.axes:
        width, height = axes.get_window_extent().size
        assert height == pytest.approx(width / 4)


def test_without_ids_nothing_is_marked():
    figure = viz.neighbors(images(3), images(), ROWS)
    assert figure.get_suptitle() == ""
    assert words(figure) == []
    assert {frame(axes) for label, axes in by_label(figure).items() if "," in label} == {FAINT}


@pytest.mark.parametrize(
    "given",
    [
        images(3, (5, 4, 1)),
        images(3, (5, 4, 1))[..., 0],
        images(3, (5, 4, 1)) / 255,
        images(3, (5, 4, 1)).astype("float32"),
        ops.convert_to_tensor(images(3, (5, 4, 1))),
        list(images(3, (5, 4, 1))),
        keras.ops.convert_to_tensor(images(3, (5, 4, 1)) / np.float32(255)),
    ],
    ids=["gray", "plain", "unit", "float", "tensor", "list", "unit tensor"],
)
def test_images_of_any_form_look_the_same(given):
    figure = viz.neighbors(given, ["a"], np.zeros((3, 1), "int32"))
    expected = np.repeat(images(3, (5, 4, 1)), 3, axis=-1)
    for number in range(3):
        np.testing.assert_array_equal(shown(by_label(figure)[f"query {number}"]), expected[number])


def test_transparent_images_are_drawn_on_white():
    image = np.zeros((1, 2, 2, 4), "uint8")
    image[0, 0, 0] = [255, 0, 0, 255]
    figure = viz.neighbors(image, ["a"], np.array([[0]]))
    assert shown(figure.axes[0]).tolist()[0] == [[255, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": ROWS[:2]}, "`rows` must be integers"),
        ({"rows": ROWS.astype(float)}, "`rows` must be integers"),
        ({"rows": ROWS + 4}, r"in \[0, 6\)"),
        ({"rows": np.zeros((3, 13), int)}, "at most 50 queries and 12 neighbors"),
        ({"scores": SCORES[:, :2]}, "`scores` must have the shape of `rows`"),
        ({"query_ids": IDS[:3]}, "must both be given"),
        ({"query_ids": IDS, "corpus_ids": IDS}, "one id for each query and each item"),
        ({"queries": images(3) / 100 - 1}, "Pass the images as they are"),
        ({"queries": images(3).astype(float) * np.nan}, "must have values in"),
        ({"queries": images(3, (3, 5, 4))[:, :, :, :2]}, "Move the channels"),
    ],
)
def test_wrong_arguments_raise(arguments, message):
    given = {"queries": images(3), "corpus": images(), "rows": ROWS, **arguments}
    with pytest.raises(ValueError, match=message):
        viz.neighbors(**given)


def test_a_long_text_beside_flat_images_has_two_lines():
    text = "the number one seven one"
    figure = viz.neighbors([text], np.zeros((3, 8, 24), "uint8"), [[0, 1, 2]])
    assert " ".join(words(figure)) == text
