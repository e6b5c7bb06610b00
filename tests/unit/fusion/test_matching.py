"""Hard negatives are drawn from the softmax of the similarities."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import MISSING_ID
from keras_contrastive.fusion import ImageTextMatching
from tests.helpers.backend import to_numpy

ROWS, COPIES, SCALE = 6, 4000, 2.0
IDS = np.array([0, 1, 2, 1, 3, 4], "int32")


@pytest.fixture
def layer():
    matching = ImageTextMatching(seed=3)
    matching.build((None, 4))
    return matching


def draws(layer, anchors, candidates, ids=IDS, candidate_ids=IDS, direction=0, training=True):
    """Indices and presence of negatives, `(COPIES, ROWS)`: each copy of an anchor is a row.

    All tests use the same shapes, so that each operation is compiled once.
    """
    arrays = np.tile(anchors * SCALE, (COPIES, 1)), candidates, np.tile(ids, COPIES), candidate_ids
    tensors = [ops.convert_to_tensor(x) for x in arrays]
    rows = ops.arange(COPIES * ROWS, dtype="int32")
    indices, has_negative = layer.draw(*tensors, rows, direction, training)
    assert indices.shape == (COPIES * ROWS,)
    return to_numpy(indices).reshape(COPIES, ROWS), to_numpy(has_negative).reshape(COPIES, ROWS)


@pytest.fixture
def embeddings(rng):
    return rng.normal(size=(2, ROWS, 3)).astype("float32")


@pytest.mark.parametrize("tiles", [None, (4096, 4)], indirect=True)
@pytest.mark.usefixtures("tiles")
def test_negatives_follow_the_softmax_and_never_have_the_same_id(layer, embeddings):
    anchors, candidates = embeddings
    indices, has_negative = draws(layer, anchors, candidates)
    assert has_negative.all()
    logits = SCALE * anchors.astype("float64") @ candidates.T
    weights = np.where(IDS[:, None] == IDS, 0.0, np.exp(logits))
    expected = weights / weights.sum(axis=1, keepdims=True)
    for row in range(ROWS):
        shares = np.bincount(indices[:, row], minlength=ROWS) / COPIES
        assert shares[IDS[row] == IDS].max() == 0
        error = np.sqrt(expected[row] * (1 - expected[row]) / COPIES)
        np.testing.assert_array_less(np.abs(shares - expected[row]), 4.5 * error + 1e-9)


def test_rows_steps_and_directions_draw_independently(layer):
    zeros, ids = np.zeros((ROWS, 3), "float32"), np.arange(ROWS, dtype="int32")
    first, _ = draws(layer, zeros, zeros, ids, ids)
    again, _ = draws(layer, zeros, zeros, ids, ids)
    other_direction, _ = draws(layer, zeros, zeros, ids, ids, direction=1)
    layer.advance()
    next_step, _ = draws(layer, zeros, zeros, ids, ids)
    np.testing.assert_array_equal(first, again)
    # Two independent draws from 5 negatives are equal with probability 1/5.
    for other in (other_direction, next_step, np.roll(first, 1, axis=0)):
        assert (other == first).mean() == pytest.approx(1 / 5, abs=0.02)


def test_an_evaluation_always_draws_the_same(layer):
    zeros, ids = np.zeros((ROWS, 3), "float32"), np.arange(ROWS, dtype="int32")
    first, _ = draws(layer, zeros, zeros, ids, ids, training=False)
    step, _ = draws(layer, zeros, zeros, ids, ids)
    layer.advance()
    again, _ = draws(layer, zeros, zeros, ids, ids, training=False)
    np.testing.assert_array_equal(first, again)
    assert (first == step).mean() == pytest.approx(1 / 5, abs=0.02)


def test_draws_are_the_same_on_every_backend(layer, embeddings):
    """The expected draws were computed on PyTorch."""
    indices, _ = draws(layer, *embeddings)
    np.testing.assert_array_equal(indices[:2], [[4, 5, 1, 4, 3, 4], [1, 4, 1, 4, 3, 4]])


def test_missing_candidates_are_never_drawn(layer, embeddings):
    candidate_ids = np.where(np.arange(ROWS) < 2, IDS, MISSING_ID).astype("int32")
    indices, has_negative = draws(layer, *embeddings, candidate_ids=candidate_ids)
    assert set(np.unique(indices[:, [2, 4, 5]])) == {0, 1}
    assert (indices[:, 0] == 1).all()
    assert has_negative.all()


def test_anchor_has_no_negative_if_all_ids_are_equal(layer, embeddings):
    ids = np.full(ROWS, 7, "int32")
    assert not draws(layer, *embeddings, ids, ids)[1].any()


def test_loss_is_the_cross_entropy_of_two_classes():
    logits = np.array([[0.5, 2.0], [1.0, -1.0], [40.0, -40.0]], "float32")
    is_match = np.array([True, False, True])
    exact = logits.astype("float64")
    expected = np.log(np.exp(exact).sum(axis=1)) - exact[np.arange(3), is_match.astype(int)]
    actual = ImageTextMatching.cross_entropy(*map(ops.convert_to_tensor, (logits, is_match)))
    np.testing.assert_allclose(to_numpy(actual), expected, rtol=1e-5)


def test_config_restores_weight_and_seed():
    config = ImageTextMatching(weight=0.5, seed=3).get_config()
    assert (config["weight"], config["seed"]) == (0.5, 3)
    assert ImageTextMatching.from_config(config).get_config() == config


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weight": -1.0}, ValueError, "`weight` must be a non-negative, finite number"),
        ({"weight": float("inf")}, ValueError, "`weight` must be a non-negative, finite number"),
        ({"weight": "1"}, TypeError, "`weight` must be a non-negative, finite number"),
        ({"seed": 0.5}, TypeError, "`seed` must be"),
    ],
)
def test_wrong_arguments_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        ImageTextMatching(**arguments)
