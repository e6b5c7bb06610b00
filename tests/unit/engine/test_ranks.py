import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import is_found, nearest_positive, positive_ranks
from tests.helpers.backend import compiled, to_numpy
from tests.reference import recall as reference

# Everything at once, and tiles that do not divide the sizes.
every_tile = pytest.mark.parametrize("tiles", [None, (4, 3)], indirect=True, ids=str)


def unit_rows(rng, rows, dim=4):
    x = rng.normal(size=(rows, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32")


def tensors(anchors, candidates, anchor_ids, candidate_ids):
    embeddings = (np.asarray(x, "float32") for x in (anchors, candidates))
    ids = (np.asarray(x, "int32") for x in (anchor_ids, candidate_ids))
    return [ops.convert_to_tensor(x) for x in (*embeddings, *ids)]


def nearest(*corpus, **kwargs):
    return to_numpy(nearest_positive(*tensors(*corpus), **kwargs))


def ranks(*corpus, positive):
    positive = ops.convert_to_tensor(np.asarray(positive, "float32"))
    return to_numpy(positive_ranks(*tensors(*corpus), positive))


def found(similarities):
    return to_numpy(is_found(ops.convert_to_tensor(similarities)))


def corpus_of_two_halves(rng):
    return unit_rows(rng, 6), unit_rows(rng, 10), [0, 1, 2, 3, 0, 1], [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


@every_tile
def test_ranks_equal_the_reference(rng, tiles):
    corpus = corpus_of_two_halves(rng)
    similarities = nearest(*corpus)
    assert found(similarities).all()
    np.testing.assert_array_equal(
        1 + ranks(*corpus, positive=similarities), reference.ranks_in_corpus(*corpus)
    )


@pytest.mark.parametrize("exclude_self", [False, True])
def test_compiled_loops_equal_one_tile(rng, tile_shape, exclude_self):
    rows, ids = unit_rows(rng, 9), [0, 1, 0, 1, 2, 2, 3, 4, 0]
    corpus = tensors(rows, rows, ids, ids)

    def both(*corpus):
        similarities = nearest_positive(*corpus, exclude_self)
        return similarities, positive_ranks(*corpus, similarities)

    in_one_tile = both(*corpus)
    tile_shape((4, 2))
    for result, expected in zip(compiled(both)(*corpus), in_one_tile, strict=True):
        np.testing.assert_allclose(to_numpy(result), to_numpy(expected), rtol=1e-6)


@every_tile
def test_nearest_of_several_positives(tiles):
    anchors, candidates = [[1, 0]], [[0, 1], [0.6, 0.8], [1, 0], [0.8, 0.6], [-1, 0]]
    assert nearest(anchors, candidates, [3], [3, 3, 4, 3, 3]) == pytest.approx([0.8])


@every_tile
def test_row_is_not_its_own_positive_with_exclude_self(tiles):
    rows, ids = np.eye(5), [0, 1, 0, 2, 1]
    assert nearest(rows, rows, ids, ids) == pytest.approx(np.ones(5))
    similarities = nearest(rows, rows, ids, ids, exclude_self=True)
    assert similarities[[0, 1, 2, 4]] == pytest.approx(np.zeros(4))
    assert found(similarities).tolist() == [True, True, True, False, True]


def test_opposite_direction_is_a_positive():
    similarities = nearest([[1, 0]], [[-1, 0]], [2], [2])
    assert similarities == pytest.approx([-1.0])
    assert found(similarities).all()


@every_tile
def test_ties_count_against_the_positive(tiles):
    rows = np.ones((6, 1))
    assert ranks(rows, rows, range(6), range(6), positive=np.ones(6)).tolist() == [5] * 6


@pytest.mark.parametrize(
    ("ahead", "is_ahead"), [(1e-3, True), (0.0, True), (-5e-7, True), (-1e-3, False)]
)
def test_difference_below_1e_6_is_a_tie(ahead, is_ahead):
    assert ranks([[1.0]], [[0.5 + ahead]], [0], [1], positive=[0.5]).tolist() == [int(is_ahead)]


def test_candidates_with_the_id_of_the_anchor_are_not_negatives():
    candidates = [[0.9], [0.9], [0.9], [0.1]]
    assert ranks([[1.0]], candidates, [7], [7, 8, 7, 9], positive=[0.5]).tolist() == [1]


def test_ids_above_2_to_the_24_differ():
    corpus = [[1.0]], [[1.0], [1.0]], [2**24], [2**24 + 1, 2**31 - 1]
    assert ranks(*corpus, positive=[0.0]).tolist() == [2]


@every_tile
def test_nan_ranks_last(tiles):
    corpus = np.full((3, 2), np.nan), np.ones((3, 2)), [0, 1, 2], [0, 1, 2]
    similarities = nearest(*corpus)
    assert found(similarities).all()
    assert ranks(*corpus, positive=similarities).tolist() == [2, 2, 2]
    assert ranks(*corpus, positive=[np.nan] * 3).tolist() == [2, 2, 2]


def test_no_rows_have_no_ranks():
    corpus = np.ones((0, 2)), np.ones((0, 2)), [], []
    assert nearest(*corpus).shape == (0,)
    assert ranks(*corpus, positive=[]).shape == (0,)
