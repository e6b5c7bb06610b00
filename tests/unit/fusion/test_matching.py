"""Hard negatives: who is drawn, and how often."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import EMPTY
from keras_contrastive.config import set_tile_shape
from keras_contrastive.fusion import ImageTextMatching
from tests.helpers.backend import to_numpy

ROWS, SCALE = 6, 2.0
IDS = np.array([0, 1, 2, 1, 3, 4], "int32")


@pytest.fixture
def layer():
    matching = ImageTextMatching(seed=3)
    matching.build((None, 4))
    return matching


def draws(layer, anchors, candidates, ids=IDS, candidate_ids=IDS, direction=0, copies=1):
    """Of `copies` of the same anchors, each a row of its own."""
    tensors = np.tile(anchors * SCALE, (copies, 1)), candidates, np.tile(ids, copies), candidate_ids
    tensors = [ops.convert_to_tensor(x) for x in tensors]
    rows = ops.arange(copies * len(anchors), dtype="int32")
    number, found = layer.draw(*tensors, rows, direction)
    assert number.shape == (copies * len(anchors),)
    return to_numpy(number).reshape(copies, -1), to_numpy(found).reshape(copies, -1)


def embeddings(rng):
    return rng.normal(size=(2, ROWS, 3)).astype("float32")


@pytest.mark.parametrize("tiles", [None, (4, 4)])
def test_negatives_follow_the_softmax_and_are_never_of_an_equal_id(layer, rng, tiles):
    anchors, candidates = embeddings(rng)
    count = 4000
    set_tile_shape(tiles and (4096, tiles[1]))
    number, found = draws(layer, anchors, candidates, copies=count)
    set_tile_shape(None)
    assert found.all()
    logits = SCALE * anchors.astype("float64") @ candidates.T
    weights = np.where(IDS[:, None] == IDS, 0.0, np.exp(logits))
    expected = weights / weights.sum(axis=1, keepdims=True)
    for row in range(ROWS):
        shares = np.bincount(number[:, row], minlength=ROWS) / count
        assert shares[IDS[row] == IDS].max() == 0  # its own text, and the other one of its item
        error = np.sqrt(expected[row] * (1 - expected[row]) / count)
        np.testing.assert_array_less(np.abs(shares - expected[row]), 4.5 * error + 1e-9)


def test_rows_and_steps_and_directions_draw_by_themselves(layer):
    nothing = np.zeros((40, 3), "float32")
    ids = np.arange(40, dtype="int32")
    first, _ = draws(layer, nothing, nothing, ids, ids)
    again, _ = draws(layer, nothing, nothing, ids, ids)
    other, _ = draws(layer, nothing, nothing, ids, ids, direction=1)
    layer.advance()
    later, _ = draws(layer, nothing, nothing, ids, ids)
    np.testing.assert_array_equal(first, again)
    for numbers in (other, later):
        assert (numbers != first).mean() > 0.8
    assert len(np.unique(first)) > 15


def test_the_draws_are_these_on_every_backend(layer, rng):
    number, _ = draws(layer, *embeddings(rng), copies=2)
    np.testing.assert_array_equal(number, [[4, 5, 1, 4, 3, 4], [1, 4, 1, 4, 3, 4]])


def test_what_is_missing_is_not_drawn_and_who_has_no_negative_draws_none(layer, rng):
    anchors, candidates = embeddings(rng)
    there = np.where(np.arange(ROWS) < 2, IDS, EMPTY).astype("int32")
    number, found = draws(layer, anchors, candidates, candidate_ids=there, copies=50)
    assert set(np.unique(number[:, [2, 4, 5]])) == {0, 1}
    assert (number[:, 0] == 1).all()
    assert found.all()
    _, found = draws(
        layer, anchors, candidates, np.full(ROWS, 7, "int32"), np.full(ROWS, 7, "int32")
    )
    assert not found.any()


def test_the_loss_is_the_cross_entropy_of_two_classes():
    logits = np.array([[0.5, 2.0], [1.0, -1.0], [40.0, -40.0]], "float32")
    matches = np.array([True, False, True])
    exact = logits.astype("float64")
    expected = np.log(np.exp(exact).sum(axis=1)) - exact[np.arange(3), matches.astype(int)]
    found = ImageTextMatching.cross_entropy(
        ops.convert_to_tensor(logits), ops.convert_to_tensor(matches)
    )
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5)
