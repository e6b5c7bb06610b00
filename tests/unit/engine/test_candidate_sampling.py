"""Softmax-weighted candidates and sampled negatives: references, tiles, compilation."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import MISSING_ID, expected_candidates, largest_negatives
from tests.helpers.backend import compiled, to_numpy

IDS = np.array([4, 5, 4, 6, 7], "int32")
POSITIONS = np.arange(5, dtype="int32")
CANDIDATE_IDS = np.array(
    [4, 5, 4, 6, MISSING_ID, 4, 9, MISSING_ID], "int32"
)  # the last three, of other batches
CANDIDATE_POSITIONS = np.array([0, 1, 2, 3, 4, -1, -1, -1], "int32")


both_tilings = pytest.mark.parametrize(
    "tiles", [None, (2, 3)], ids=["one tile", "tiles"], indirect=True
)


def embeddings(rng):
    return rng.normal(size=(5, 3)).astype("float32"), rng.normal(size=(8, 3)).astype("float32")


def mean_reference(anchors, candidates):
    means = []
    for i in range(5):
        seen = [
            j
            for j in range(8)
            if CANDIDATE_IDS[j] != MISSING_ID
            and (CANDIDATE_IDS[j] != IDS[i] or CANDIDATE_POSITIONS[j] == POSITIONS[i])
        ]
        weights = np.exp([np.dot(anchors[i].astype("float64"), candidates[j]) for j in seen])
        means.append(np.average(candidates[seen], axis=0, weights=weights))
    return np.stack(means)


@both_tilings
def test_mean_equals_the_softmax_weighted_mean(rng, tiles):
    anchors, candidates = embeddings(rng)
    anchors *= 30  # whose exponentials overflow unless the largest is taken off
    found = expected_candidates(
        *map(
            ops.convert_to_tensor,
            (anchors, candidates, IDS, CANDIDATE_IDS, POSITIONS, CANDIDATE_POSITIONS),
        )
    )
    np.testing.assert_allclose(to_numpy(found), mean_reference(anchors, candidates), atol=1e-5)


def test_mean_is_zero_without_candidates(rng):
    anchors, candidates = embeddings(rng)
    missing = np.full(8, MISSING_ID, "int32")
    found = expected_candidates(
        *map(
            ops.convert_to_tensor,
            (anchors, candidates, IDS, missing, POSITIONS, CANDIDATE_POSITIONS),
        )
    )
    np.testing.assert_array_equal(to_numpy(found), np.zeros((5, 3)))


def noise(keys, columns):
    """Any function of both that the reference can repeat."""
    keys, columns = (
        ops.cast(ops.expand_dims(keys, 1), "float32"),
        ops.cast(ops.expand_dims(columns, 0), "float32"),
    )
    return ops.sin(3 * keys + 7 * columns)


@both_tilings
def test_largest_negative_equals_the_reference(rng, tiles):
    anchors, candidates = embeddings(rng)
    keys = np.array([3, 1, 4, 1, 5], "int32")
    tensors = map(ops.convert_to_tensor, (anchors, candidates, IDS, CANDIDATE_IDS, keys))
    number, found = largest_negatives(*tensors, noise)
    logits = anchors.astype("float64") @ candidates.T + np.sin(3 * keys[:, None] + 7 * np.arange(8))
    logits[(IDS[:, None] == CANDIDATE_IDS) | (CANDIDATE_IDS == MISSING_ID)[None]] = -np.inf
    np.testing.assert_array_equal(to_numpy(number), logits.argmax(axis=1))
    assert to_numpy(found).all()


def test_anchors_without_a_negative_are_marked(rng):
    anchors, candidates = embeddings(rng)
    ids = np.where(CANDIDATE_IDS == MISSING_ID, MISSING_ID, 4).astype("int32")
    keys = np.zeros(5, "int32")
    _, found = largest_negatives(
        *map(ops.convert_to_tensor, (anchors, candidates, IDS, ids, keys)), noise
    )
    np.testing.assert_array_equal(to_numpy(found), IDS != 4)


def test_both_compile_for_batches_of_any_size(rng):
    def both(anchors, candidates):
        rows = ops.arange(ops.shape(anchors)[0], dtype="int32")
        columns = ops.arange(ops.shape(candidates)[0], dtype="int32")
        mean = expected_candidates(anchors, candidates, rows, columns, rows, columns)
        number, _ = largest_negatives(anchors, candidates, rows, columns, rows, noise)
        return mean, number

    run = compiled(both)
    for size in (5, 3):
        anchors, candidates = (x[:size] for x in embeddings(rng))
        anchors, candidates = ops.convert_to_tensor(anchors), ops.convert_to_tensor(candidates)
        for found, expected in zip(
            run(anchors, candidates), both(anchors, candidates), strict=True
        ):
            np.testing.assert_allclose(to_numpy(found), to_numpy(expected), atol=1e-5)
