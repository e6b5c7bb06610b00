import numpy as np
import pytest

from keras_contrastive.evaluation import retrieval
from tests.reference import recall as reference


def corpus(rng, num_queries, num_candidates, dim=5, noise=0.8):
    """Returns candidates, and queries that resemble the candidate of the same row (modulo rows)."""
    candidates = rng.normal(size=(num_candidates, dim))
    cause = candidates[np.arange(num_queries) % num_candidates]
    queries = cause + noise * rng.normal(size=cause.shape)
    return queries.astype("float32"), candidates.astype("float32")


@pytest.mark.parametrize(
    ("rows", "tiles"), [(1, None), (12, (4, 3)), (30, None)], indirect=["tiles"]
)
def test_rows_match_without_ids(rng, rows, tiles):
    queries, candidates = corpus(rng, rows, rows)
    expected = reference.retrieval(queries, candidates, range(rows), range(rows), (1, 3, 50))
    assert retrieval(queries, candidates, k=(1, 3, 50)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("num_queries", "num_candidates", "tiles"),
    [(10, 20, (5, 5)), (20, 10, (5, 5)), (20, 10, None)],
    indirect=["tiles"],
)
def test_nearest_of_several_positives_counts(rng, num_queries, num_candidates, tiles):
    queries, candidates = corpus(rng, num_queries, num_candidates)
    candidate_ids = np.arange(num_candidates) % 5
    query_ids = (np.arange(num_queries) % num_candidates) % 5
    arguments = queries, candidates, query_ids, candidate_ids, (1, 2, 5)
    assert retrieval(*arguments) == pytest.approx(reference.retrieval(*arguments))


def test_ids_above_2_to_the_24_differ(rng):
    queries, candidates = corpus(rng, 4, 4, dim=3)
    ids = np.array([2**24, 2**24 + 1, 2**31 - 2, 2**31 - 1])
    assert retrieval(queries, candidates, ids, ids) == retrieval(queries, candidates)


def test_matching_corpus_has_rank_1():
    results = retrieval(np.eye(4, 3) + 1, 7.0 * np.eye(4, 3) + 7, k=(1,))
    assert results == {"recall_at_1": 1.0, "median_rank": 1.0, "mrr": 1.0}


def test_equal_embeddings_rank_last():
    results = retrieval(np.ones((4, 3)), np.ones((4, 3)), k=(3, 4))
    expected = {"recall_at_3": 0, "recall_at_4": 1, "median_rank": 4, "mrr": 0.25}
    assert results == pytest.approx(expected)


def test_query_without_a_positive_raises(rng):
    queries, candidates = rng.normal(size=(5, 2)), rng.normal(size=(3, 2))
    with pytest.raises(ValueError, match=r"`query_ids` must be.*query 3, which has no candidate"):
        retrieval(queries, candidates, [0, 1, 2, 9, 8], [0, 1, 2])


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([[0], [1], [2]], ValueError, r"`candidate_ids` must have the shape \(3,\).*`candidates`"),
        ([0.0, 1.0, 2.0], TypeError, "`candidate_ids` must be integers.*dtype float64"),
        ([-1, 0, 1], ValueError, r"`candidate_ids` must be in \[0, 2\*\*31\).*from -1"),
    ],
)
def test_invalid_candidate_ids_raise(ids, error, message):
    with pytest.raises(error, match=message):
        retrieval(np.ones((3, 4)), np.ones((3, 4)), [0, 1, 2], ids)


@pytest.mark.parametrize("tiles", [(4, 3), None], indirect=True, ids=str)
@pytest.mark.parametrize("given", ["query_ids", "candidate_ids", "both"])
def test_query_is_left_out_of_its_own_candidates(rng, tiles, given):
    rows, labels = rng.normal(size=(12, 4)), np.arange(12) % 4
    names = ("query_ids", "candidate_ids") if given == "both" else (given,)
    ids = dict.fromkeys(names, labels)
    found = retrieval(rows, rows, **ids, k=(1, 2, 5), exclude_self=True)
    expected = reference.retrieval(rows, rows, labels, labels, (1, 2, 5), exclude_self=True)
    assert found == pytest.approx(expected)
    assert found["mrr"] < retrieval(rows, rows, labels, labels, k=())["mrr"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"candidates": np.ones((3, 2))},
            ValueError,
            r"same rows .*queries \(4, 2\), candidates \(3, 2\)",
        ),
        ({"candidate_ids": [1, 0, 1, 0]}, ValueError, "must be equal if `exclude_self` is True"),
        ({"query_ids": [0, 0, 1, 2]}, ValueError, "Received: query 2, and no other row has its id"),
        ({"query_ids": None}, ValueError, "`query_ids` must contain each id at least twice"),
        ({"exclude_self": 1}, TypeError, "`exclude_self` must be a bool. Received: exclude_self=1"),
        ({"exclude_self": "no"}, TypeError, "`exclude_self` must be a bool"),
    ],
)
def test_rows_that_cannot_be_left_out_raise(arguments, error, message):
    valid = {"queries": np.ones((4, 2)), "candidates": np.ones((4, 2)), "query_ids": [0, 1, 0, 1]}
    with pytest.raises(error, match=message):
        retrieval(**{**valid, "exclude_self": True, **arguments})
