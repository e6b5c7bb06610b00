"""Exact search: equal to a sort of all cosines, for arrays and for chunks."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive.evaluation import search

# Blocks of several tiles, tiles that do not divide the sizes, and the default.
every_tile = pytest.mark.parametrize("tiles", [None, (16, 32), (6, 5)], indirect=True, ids=str)


def sorted_cosines(queries, corpus, k, exclude_self=False):
    """Returns the k largest cosines in float64 and their rows. Ties are in the order of rows."""
    queries, corpus = (np.asarray(x, "float64") for x in (queries, corpus))
    queries, corpus = (
        x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (queries, corpus)
    )
    cosines = (queries @ corpus.T).round(12)
    if exclude_self:
        np.fill_diagonal(cosines, -np.inf)
    rows = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cosines, rows, axis=1), rows


def check(found, expected):
    scores, rows = found
    assert (scores.dtype, rows.dtype) == ("float32", "int64")
    np.testing.assert_array_equal(rows, expected[1])
    np.testing.assert_allclose(scores, expected[0], atol=1e-6)


@every_tile
@pytest.mark.parametrize("k", [1, 7, 60])
def test_search_equals_a_sort(rng, tiles, k):
    queries, corpus = rng.normal(size=(13, 8)), rng.normal(size=(60, 8))
    check(search(queries, corpus, k), sorted_cosines(queries, corpus, k))


@every_tile
def test_query_is_left_out_of_its_own_results(rng, tiles):
    rows = rng.normal(size=(37, 8))
    found = search(rows, rows, 36, exclude_self=True)
    check(found, sorted_cosines(rows, rows, 36, exclude_self=True))
    assert not (found[1] == np.arange(37)[:, None]).any()


@every_tile
@pytest.mark.parametrize("k", [5, 40, 130])
def test_lower_row_of_equal_rows_comes_first(rng, tiles, k):
    distinct = rng.normal(size=(4, 37)).astype("float32")
    corpus = distinct[rng.integers(4, size=130)]
    corpus[rng.integers(130, size=20)] = 0
    queries = rng.normal(size=(9, 37))
    check(search(queries, corpus, k), sorted_cosines(queries, corpus, k))


def test_equal_rows_have_equal_cosines_in_all_places_of_all_tiles(rng):
    row, queries = rng.normal(size=(1, 100)), rng.normal(size=(3, 100))
    scores, rows = search(queries, np.repeat(row, 1100, axis=0), 1100)
    np.testing.assert_array_equal(rows, [np.arange(1100)] * 3)
    assert (scores == scores[:, :1]).all()


def chunks(corpus):
    """Yields chunks of unequal sizes in one array that is filled again."""
    memory = np.empty((9, corpus.shape[1]), corpus.dtype)
    start = 0
    while start < len(corpus):
        for size in (1, 9, 4):
            part = corpus[start : start + size]
            memory[: len(part)] = part
            if len(part):
                yield memory[: len(part)]
            start += len(part)


CHUNKED = {
    "a generator": chunks,
    "a list of arrays": lambda corpus: [corpus[:20], corpus[20:21], corpus[21:]],
    "a map of tensors": lambda corpus: map(ops.convert_to_tensor, (corpus[:50], corpus[50:])),
}


@every_tile
@pytest.mark.parametrize("chunked", CHUNKED.values(), ids=CHUNKED)
def test_rows_are_counted_over_chunks(rng, tiles, chunked):
    queries = rng.normal(size=(60, 4)).astype("float32")
    corpus = np.concatenate([queries[:40], queries[:20]])
    expected = search(queries, corpus, 9)
    for one, other in zip(search(queries, chunked(corpus), 9), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    without_self = search(queries, chunked(corpus), 3, exclude_self=True)
    np.testing.assert_array_equal(without_self[1], search(queries, corpus, 3, exclude_self=True)[1])


def test_lists_and_narrow_numbers_are_accepted():
    for corpus in (
        [[1, 0], [0, 2]],
        np.array([[1, 0], [0, 2]], "int8"),
        np.eye(2, dtype="float16"),
    ):
        scores, rows = search([[0, 3]], corpus, 2)
        assert rows.tolist() == [[1, 0]]
        np.testing.assert_allclose(scores, [[1.0, 0.0]], atol=1e-6)


NAN = np.full((3, 2), np.nan)
ROWS = np.ones((3, 2))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 4}, ValueError, "`k` must be at most 3, the number of rows of `corpus`. Rec.*k=4"),
        ({"k": 3, "exclude_self": True}, ValueError, "at most 2, .*, the query left out"),
        ({"k": 4, "corpus": [ROWS[:1], ROWS[1:]]}, ValueError, "`k` must be at most 3"),
        ({"k": 0}, ValueError, "`k` must be a positive integer"),
        ({"exclude_self": "no"}, TypeError, "`exclude_self` must be a bool"),
        ({"queries": NAN}, ValueError, "`queries` must be finite. Received: 3 rows"),
        ({"corpus": NAN}, ValueError, "`corpus` must be finite"),
        ({"corpus": [ROWS, NAN]}, ValueError, "`corpus` must be finite"),
        ({"corpus": np.ones((3, 5))}, ValueError, "`queries` and `corpus` must have the same last"),
        ({"corpus": [ROWS, np.ones((3, 5))]}, ValueError, "`queries` and `corpus` must have the s"),
        ({"corpus": np.ones(3)}, ValueError, r"`corpus` must have the shape \(rows, dim\)"),
        ({"corpus": "rows"}, TypeError, "`corpus` must be an array of real numbers"),
        ({"corpus": {"image": ROWS}}, TypeError, "`corpus` must be an array of real numbers"),
        ({"corpus": ["a", "b"]}, TypeError, "`corpus` must be an array of real numbers"),
        ({"corpus": iter([])}, ValueError, "`k` must be at most 0, the number of rows of `corpus`"),
        ({"corpus": ROWS[:2], "exclude_self": True}, ValueError, "must have the rows of `queries`"),
    ],
)
def test_invalid_arguments_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        search(**{"queries": ROWS, "corpus": ROWS, "k": 1, **arguments})
