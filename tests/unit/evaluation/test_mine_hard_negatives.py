"""Mined rows equal those of a sort of all cosines, and never have the id of the query."""

from contextlib import nullcontext

import numpy as np
import pytest

from keras_contrastive.evaluation import mine_hard_negatives
from tests.reference.recall import cosine


def remaining_rows(query, query_id, corpus, ids, skip, margin, left_out=None):
    """Returns the rows that may be mined, the nearest first."""
    cosines = np.array([cosine(query, row) for row in corpus])
    others = [row for row in np.argsort(-cosines) if ids[row] != query_id][skip:]
    if margin is None:
        return others
    equal = [row for row in range(len(corpus)) if ids[row] == query_id and row != left_out]
    positive = max(cosines[equal])
    return [row for row in others if cosines[row] <= positive - margin * abs(positive)]


@pytest.mark.parametrize("tiles", [None, (6, 5)], indirect=True, ids=str)
def test_mining_equals_brute_force(rng, tiles):
    for case in range(100):
        ids = rng.integers(6, size=30)
        ids[:6] = range(6)
        corpus, query_ids = rng.normal(size=(30, 4)), rng.integers(6, size=8)
        queries = corpus[query_ids] + 0.3 * rng.normal(size=(8, 4))
        skip, margin = int(rng.integers(4)), rng.choice([None, 0.0, 0.05, 0.3])
        expected = [
            remaining_rows(query, i, corpus, ids, skip, margin)
            for query, i in zip(queries, query_ids, strict=True)
        ]
        expected = [[*rows, -1, -1, -1][:3] for rows in expected]
        too_few = np.min(expected) < 0
        expectation = pytest.warns(UserWarning, match="-1 stands") if too_few else nullcontext()
        with expectation:
            found = mine_hard_negatives(
                queries, corpus, query_ids, ids, 3, skip=skip, relative_margin=margin
            )
        np.testing.assert_array_equal(found, expected, f"case {case}")


def test_missing_rows_are_the_last_of_random_ones_too():
    corpus, ids = np.eye(4), [0, 1, 2, 3]
    with pytest.warns(UserWarning, match=r"4 of 4 queries have fewer than 3 .*`kept = "):
        rows = mine_hard_negatives(corpus, corpus, ids, ids, 3, skip=1, sampling="random")
    assert ((rows >= 0) == [True, True, False]).all()


def test_margin_of_a_negative_cosine():
    cosines = np.array([-0.5, -0.51, -0.53, -0.49])
    corpus = np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1)
    # At most -0.5 - 0.05 * 0.5.
    arguments = [[1.0, 0.0]], corpus, [0], range(4), 1
    assert mine_hard_negatives(*arguments, skip=0, relative_margin=0.05).tolist() == [[2]]


def test_one_set_of_labeled_rows(rng):
    rows, labels = rng.normal(size=(30, 4)), np.arange(30) % 3
    found = mine_hard_negatives(
        rows, query_ids=labels, num_negatives=2, relative_margin=0.1, skip=1
    )
    for i in range(30):
        expected = remaining_rows(rows[i], labels[i], rows, labels, 1, 0.1, left_out=i)
        assert found[i].tolist() == expected[:2]


def test_query_without_a_relevant_row_has_negatives_unless_there_is_a_margin(rng):
    arguments = rng.normal(size=(2, 4)), rng.normal(size=(5, 4)), [0, 9], [0, 1, 2, 3, 4]
    assert mine_hard_negatives(*arguments, 3, skip=1).shape == (2, 3)
    with pytest.raises(ValueError, match="query 1, and no row of the corpus has its id 9"):
        mine_hard_negatives(*arguments, 3, skip=0, relative_margin=0.1)


def test_random_rows_are_different_ones_of_the_nearest(rng):
    corpus, ids = rng.normal(size=(400, 4)), np.arange(400) % 40
    queries, query_ids = corpus[:50], ids[:50]
    nearest = mine_hard_negatives(queries, corpus, query_ids, ids, 20, skip=3)
    found, again, other = (
        mine_hard_negatives(
            queries, corpus, query_ids, ids, 2, skip=3, sampling="random", seed=seed
        )
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(found, again)
    assert (found != other).any()
    places = [[row.tolist().index(i) for i in two] for row, two in zip(nearest, found, strict=True)]
    assert all(first < second for first, second in places)
    # 100 draws from 20 places: the mean has a standard error of 0.6.
    assert np.mean(places) == pytest.approx(9.5, abs=2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_negatives": 0}, ValueError, "`num_negatives` must be a positive integer"),
        ({"skip": -1}, ValueError, "`skip` must be "),
        ({"relative_margin": 1.5}, ValueError, "`relative_margin` must be "),
        ({"relative_margin": "5%"}, TypeError, "`relative_margin` must be "),
        ({"sampling": "hard"}, ValueError, "`sampling` must be .*'hard'"),
        ({"seed": 1.5}, TypeError, "`seed` must be "),
        ({"queries": np.full((2, 3), np.nan)}, ValueError, "`queries` must be finite"),
        ({"corpus": np.full((5, 3), np.inf)}, ValueError, "`corpus` must be finite"),
        ({"corpus": np.ones((5, 4))}, ValueError, "the same last dimension"),
        ({"query_ids": [0.0, 1.0]}, TypeError, "`query_ids` must be integers"),
    ],
)
def test_invalid_arguments_raise(arguments, error, message):
    valid = {"queries": np.ones((2, 3)), "corpus": np.ones((5, 3)), "query_ids": [0, 1]}
    with pytest.raises(error, match=message):
        mine_hard_negatives(**{**valid, "corpus_ids": range(5), **arguments})
