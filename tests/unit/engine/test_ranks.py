import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import has_positive, nearest_positive, positive_ranks
from tests.helpers.backend import compiled
from tests.reference import recall as reference

TILES = [1, 4, 100]  # one at a time, ragged, all at once


def unit_rows(rng, rows, dim=4):
    x = rng.normal(size=(rows, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32")


def int32(ids):
    return ops.convert_to_tensor(np.array(ids, "int32"))


def search(anchors, candidates, anchor_ids, candidate_ids, **kwargs):
    return array(
        nearest_positive(
            *tensors(anchors, candidates), int32(anchor_ids), int32(candidate_ids), **kwargs
        )
    )


def rank(anchors, candidates, anchor_ids, candidate_ids, positive, **kwargs):
    corpus = *tensors(anchors, candidates), int32(anchor_ids), int32(candidate_ids)
    return array(
        positive_ranks(*corpus, ops.convert_to_tensor(np.asarray(positive, "float32")), **kwargs)
    )


def tensors(*arrays):
    return tuple(ops.convert_to_tensor(np.asarray(a, "float32")) for a in arrays)


def array(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("tile", TILES)
def test_ranks_of_the_nearest_positive_are_those_of_the_loops(rng, tile):
    corpus = (
        unit_rows(rng, 6),
        unit_rows(rng, 10),
        [0, 1, 2, 3, 0, 1],
        [0, 1, 2, 3, 0, 1, 2, 3, 0, 1],
    )
    nearest = search(*corpus, tile=tile)
    assert array(has_positive(ops.convert_to_tensor(nearest))).all()
    np.testing.assert_array_equal(
        1 + rank(*corpus, nearest, tile=tile), reference.ranks_in_corpus(*corpus)
    )


@pytest.mark.parametrize("tile", TILES)
def test_the_nearest_positive_is_the_nearest(tile):
    anchors, candidates = [[1, 0]], [[0, 1], [0.6, 0.8], [1, 0], [0.8, 0.6], [-1, 0]]
    assert search(anchors, candidates, [3], [3, 3, 4, 3, 3], tile=tile) == pytest.approx([0.8])


@pytest.mark.parametrize("tile", TILES)
def test_a_row_is_no_positive_of_itself_if_so_told(tile):
    rows = np.eye(5, dtype="float32")
    ids = [0, 1, 0, 2, 1]
    assert search(rows, rows, ids, ids, tile=tile) == pytest.approx(np.ones(5))
    alone = search(rows, rows, ids, ids, exclude_self=True, tile=tile)
    assert alone[[0, 1, 2, 4]] == pytest.approx(np.zeros(4))
    np.testing.assert_array_equal(
        array(has_positive(ops.convert_to_tensor(alone))), [True, True, True, False, True]
    )


def test_even_the_opposite_direction_is_a_positive():
    nearest = search([[1, 0]], [[-1, 0]], [2], [2])
    assert nearest == pytest.approx([-1.0])
    assert array(has_positive(ops.convert_to_tensor(nearest))).all()


@pytest.mark.parametrize("tile", TILES)
def test_ties_are_lost(tile):
    rows = np.ones((6, 1), "float32")
    assert rank(rows, rows, range(6), range(6), np.ones(6), tile=tile).tolist() == [5] * 6


@pytest.mark.parametrize(
    ("ahead", "lost"), [(1e-3, True), (0.0, True), (-5e-7, True), (-1e-3, False)]
)
def test_a_difference_below_1e_6_is_a_tie(ahead, lost):
    assert rank([[1.0]], [[0.5 + ahead]], [0], [1], [0.5]).tolist() == [int(lost)]


def test_candidates_with_the_anchors_id_are_not_in_the_way():
    assert rank([[1.0]], [[0.9], [0.9], [0.9], [0.1]], [7], [7, 8, 7, 9], [0.5]).tolist() == [1]


def test_large_ids_stay_apart():
    assert rank([[1.0]], [[1.0], [1.0]], [2**24], [2**24 + 1, 2**31 - 1], [0.0]).tolist() == [2]


@pytest.mark.parametrize("tile", TILES)
def test_what_is_not_a_number_stands_last(tile):
    anchors, candidates, ids = np.full((3, 2), np.nan), np.ones((3, 2)), [0, 1, 2]
    nearest = search(anchors, candidates, ids, ids, tile=tile)
    assert array(has_positive(ops.convert_to_tensor(nearest))).all()
    assert rank(anchors, candidates, ids, ids, nearest, tile=tile).tolist() == [2, 2, 2]
    assert rank(anchors, candidates, ids, ids, [np.nan] * 3, tile=tile).tolist() == [2, 2, 2]


def test_compiled_is_eager(rng):
    anchors, candidates = tensors(unit_rows(rng, 5), unit_rows(rng, 5))
    ids = int32([0, 1, 0, 1, 2])

    def ranks(anchors, candidates, ids):
        nearest = nearest_positive(anchors, candidates, ids, ids, tile=2)
        return positive_ranks(anchors, candidates, ids, ids, nearest, tile=2)

    np.testing.assert_array_equal(
        array(compiled(ranks)(anchors, candidates, ids)), array(ranks(anchors, candidates, ids))
    )
