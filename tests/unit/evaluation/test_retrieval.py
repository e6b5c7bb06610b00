import numpy as np
import pytest

from keras_contrastive.evaluation import compare, retrieval
from tests.reference import retrieval as reference

K = (1, 3, 7)
METRICS = (
    *("hit_rate_at_k", "recall_at_k", "precision_at_k", "mrr", "mrr_at_k", "map", "map_at_k"),
    *("map_at_r", "r_precision", "ndcg", "ndcg_at_k", "median_rank"),
)


def near(expected, abs=1e-6):
    return {name: pytest.approx(value, abs=abs, nan_ok=True) for name, value in expected.items()}


def related(rng, num_queries, num_rows, dim=5, noise=0.8):
    """Returns a corpus, and queries that resemble the row of the same number (modulo rows)."""
    corpus = rng.normal(size=(num_rows, dim))
    cause = corpus[np.arange(num_queries) % num_rows]
    queries = cause + noise * rng.normal(size=cause.shape)
    return queries.astype("float32"), corpus.astype("float32")


def tied(rng, num_queries, num_rows):
    """Returns queries and a corpus of few directions, so that many cosines are equal."""
    return tuple(rng.integers(-1, 2, size=(rows, 2)) for rows in (num_queries, num_rows))


def pairs_of(grades):
    """Returns the pairs with a positive grade, in a random order."""
    queries, rows = np.nonzero(grades)
    pairs = np.stack([queries, rows, grades[queries, rows]], axis=1)
    return np.random.default_rng(0).permutation(pairs)


@pytest.mark.parametrize(
    ("rows", "tiles"), [(1, None), (12, (4, 3)), (30, None)], indirect=["tiles"]
)
def test_rows_match_without_ids(rng, rows, tiles):
    queries, corpus = related(rng, rows, rows)
    expected = reference.retrieval(queries, corpus, range(rows), range(rows), (1, 3, 50))
    assert retrieval(queries, corpus, k=(1, 3, 50)) == near(expected)


@pytest.mark.parametrize("make", [related, tied])
@pytest.mark.parametrize("tiles", [None, (6, 5)], indirect=True, ids=str)
def test_all_measures_of_labels(rng, make, tiles):
    queries, corpus = make(rng, 20, 34)
    query_ids, corpus_ids = np.arange(20) % 5, np.arange(34) % 7
    grades = reference.grades_of_ids(query_ids, corpus_ids)
    expected = reference.values_of_queries(queries, corpus, grades, K)
    found = retrieval(queries, corpus, query_ids, corpus_ids, k=K, metrics=METRICS, per_query=True)
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("make", [related, tied])
@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize("tiles", [None, (6, 5)], indirect=True, ids=str)
def test_all_measures_of_graded_pairs(rng, make, exclude_self, tiles):
    queries, corpus = make(rng, 23, 23)
    corpus = queries if exclude_self else corpus
    grades = rng.integers(0, 4, size=(23, 23)) * (rng.random((23, 23)) < 0.15)
    grades[5] = 0
    np.fill_diagonal(grades, 0)
    expected = reference.values_of_queries(queries, corpus, grades, K, exclude_self)
    found = retrieval(
        queries,
        None if exclude_self else corpus,
        relevant=pairs_of(grades),
        k=K,
        metrics=METRICS,
        per_query=True,
    )
    assert np.isnan(found["map"]).tolist() == (grades.max(axis=1) == 0).tolist()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6, err_msg=name)


def test_more_than_sixteen_relevant_rows(rng):
    queries, corpus = related(rng, 9, 60)
    ids = np.arange(9) % 2, np.arange(60) % 2
    expected = reference.values_of_queries(queries, corpus, reference.grades_of_ids(*ids), K)
    found = retrieval(queries, corpus, *ids, metrics=["map", "map_at_r"], per_query=True)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_alone_has_the_value_that_it_has_among_others(rng, metric):
    queries, corpus = tied(rng, 12, 19)
    grades = rng.integers(0, 4, size=(12, 19))
    arguments = {"relevant": pairs_of(grades), "k": (2, 5)}
    together = retrieval(queries, corpus, metrics=METRICS, **arguments)
    alone = retrieval(queries, corpus, metrics=[metric], **arguments)
    assert alone == {name: together[name] for name in alone}
    assert all(name.startswith(metric.removesuffix("_k")) for name in alone)


def test_hit_rate_and_recall_differ_if_pictures_have_two_captions():
    captions = np.array(
        [[1, 0, 0], [0.8, 0.6, 0], [0, 1, 0], [0, 0.8, 0.6], [0, 0, 1], [1, 0, 0.1]]
    )
    found = retrieval(np.eye(3), captions, range(3), [0, 1, 1, 2, 2, 0], k=(1, 2))
    assert found["hit_rate_at_1"] == 1.0
    assert found["recall_at_1"] == 0.5
    assert found["recall_at_2"] == pytest.approx(5 / 6)


def test_means_and_errors_are_those_of_the_queries_with_a_relevant_row(rng):
    queries, corpus = related(rng, 12, 9)
    pairs = [[query, row] for query in range(10) for row in (query % 9, (query + 1) % 9)]
    arguments = {"relevant": pairs, "metrics": METRICS, "k": (3,)}
    values = retrieval(queries, corpus, per_query=True, **arguments)
    assert np.isnan(values["mrr"]).tolist() == 10 * [False] + 2 * [True]
    found = retrieval(queries, corpus, **arguments)
    assert found.pop("median_rank") == np.median(values["rank"][:10])
    for name in set(values) - {"rank"}:
        expected = np.mean(values[name][:10]), np.std(values[name][:10], ddof=1) / np.sqrt(10)
        assert (found.pop(name), found.pop(f"{name}_error")) == pytest.approx(expected)
    assert found == {}


def test_comparison_is_paired(rng):
    queries, corpus = related(rng, 40, 40)
    worse = queries + 0.5 * rng.normal(size=queries.shape)
    pairs = np.stack([np.arange(38)] * 2, axis=1)
    a, b = (
        retrieval(x, corpus, relevant=pairs, metrics=["mrr", "mean_rank"], per_query=True)
        for x in (worse, queries)
    )
    found, differences = compare(a, b), (b["mrr"] - a["mrr"])[:38]
    expected = differences.mean(), differences.std(ddof=1) / np.sqrt(38)
    assert (found["mrr"], found["mrr_error"]) == pytest.approx(expected)
    assert list(found) == ["mrr", "mrr_error", "rank", "rank_error"]
    assert found["mrr"] > 0 > found["rank"]


@pytest.mark.parametrize(
    ("b", "message"),
    [
        ({"map": np.ones(3)}, "the same measures. Received: mrr and map"),
        ({"mrr": np.ones(2)}, r"one value .* Received: mrr with the shapes \(3,\) and \(2,\)"),
        ({"mrr": 0.5}, "Pass the results of `retrieval` with `per_query=True`"),
    ],
)
def test_results_that_cannot_be_compared_raise(b, message):
    with pytest.raises(ValueError, match=message):
        compare({"mrr": np.ones(3)}, b)


def test_ids_above_2_to_the_24_differ(rng):
    queries, corpus = related(rng, 4, 4, dim=3)
    ids = np.array([2**24, 2**24 + 1, 2**31 - 2, 2**31 - 1])
    assert retrieval(queries, corpus, ids, ids) == retrieval(queries, corpus)


def test_matching_corpus_has_rank_1():
    results = retrieval(np.eye(4, 3) + 1, 7.0 * np.eye(4, 3) + 7, k=(1,))
    assert {name: value for name, value in results.items() if "error" not in name} == {
        "hit_rate_at_1": 1.0,
        "recall_at_1": 1.0,
        "median_rank": 1.0,
        "mrr": 1.0,
    }


def test_equal_embeddings_rank_last():
    results = retrieval(np.ones((4, 3)), np.ones((4, 3)), k=(3, 4))
    expected = {"recall_at_3": 0, "recall_at_4": 1, "median_rank": 4, "mrr": 0.25}
    assert {name: results[name] for name in expected} == expected


def test_difference_below_1e_6_is_a_tie():
    def row(cosine):
        return [cosine, np.sqrt(1 - cosine**2)]

    corpus = np.array([row(0.5), row(0.5 - 5e-7), row(0.5 - 1e-4), row(0.5 + 1e-4)])
    assert retrieval([[1.0, 0.0]], corpus, [0], [0, 1, 2, 3])["median_rank"] == 3.0


def test_query_without_a_positive_raises(rng):
    queries, corpus = rng.normal(size=(5, 2)), rng.normal(size=(3, 2))
    message = "`query_ids` must be.*query 3, and no row of the corpus has its id 9"
    with pytest.raises(ValueError, match=message):
        retrieval(queries, corpus, [0, 1, 2, 9, 8], [0, 1, 2])


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([[0], [1], [2]], ValueError, r"`corpus_ids` must have the shape \(3,\).*`corpus`"),
        ([0.0, 1.0, 2.0], TypeError, "`corpus_ids` must be integers.*dtype float64"),
        ([-1, 0, 1], ValueError, r"`corpus_ids` must be in \[0, 2\*\*31\).*from -1"),
    ],
)
def test_invalid_corpus_ids_raise(ids, error, message):
    with pytest.raises(error, match=message):
        retrieval(np.ones((3, 4)), np.ones((3, 4)), [0, 1, 2], ids)


@pytest.mark.parametrize("tiles", [(4, 3), None], indirect=True, ids=str)
@pytest.mark.parametrize("given", ["query_ids", "corpus_ids", "both"])
def test_query_is_left_out_of_its_own_corpus(rng, tiles, given):
    rows, labels = rng.normal(size=(12, 4)), np.arange(12) % 4
    names = ("query_ids", "corpus_ids") if given == "both" else (given,)
    ids = dict.fromkeys(names, labels)
    found = retrieval(rows, rows, **ids, k=(1, 2, 5), exclude_self=True)
    expected = reference.retrieval(rows, rows, labels, labels, (1, 2, 5), exclude_self=True)
    assert found == near(expected)
    assert found == retrieval(rows, **ids, k=(1, 2, 5))
    assert found["mrr"] < retrieval(rows, rows, labels, labels, k=())["mrr"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"corpus": np.ones((3, 2))}, ValueError, r"same rows .*\(4, 2\), corpus \(3, 2\)"),
        ({"corpus_ids": [1, 0, 1, 0]}, ValueError, "must be equal if `exclude_self` is True"),
        ({"query_ids": [0, 0, 1, 2]}, ValueError, "Received: query 2, and no other row has its id"),
        ({"query_ids": None}, ValueError, "`query_ids` must contain each id at least twice"),
        ({"exclude_self": 1}, TypeError, "`exclude_self` must be a bool. Received: exclude_self=1"),
        ({"exclude_self": "no"}, TypeError, "`exclude_self` must be a bool"),
        ({"per_query": "yes"}, TypeError, "`per_query` must be a bool"),
        (
            {"metrics": ["recall"]},
            ValueError,
            "`metrics` must be names.*: hit_rate_at_k, .*recall'",
        ),
        ({"metrics": "mrr"}, ValueError, "`metrics` must be names of metrics"),
        ({"metrics": None}, ValueError, "`metrics` must be names of metrics"),
    ],
)
def test_invalid_arguments_raise(arguments, error, message):
    valid = {"queries": np.ones((4, 2)), "corpus": np.ones((4, 2)), "query_ids": [0, 1, 0, 1]}
    with pytest.raises(error, match=message):
        retrieval(**{**valid, "exclude_self": True, **arguments})


@pytest.mark.parametrize(
    ("relevant", "error", "message"),
    [
        ([[0, 1, 1, 1]], ValueError, r"the shape \(pairs, 2\).* Received: shape \(1, 4\)"),
        ([0, 1], ValueError, r"Received: shape \(2,\)"),
        ([[0.0, 1.0]], TypeError, "must be integers.*dtype float64"),
        ([[4, 0]], ValueError, r"a query in \[0, 4\). Received: 4"),
        ([[0, 3]], ValueError, r"a row of the corpus in \[0, 3\). Received: 3"),
        ([[0, -1]], ValueError, r"a row of the corpus in \[0, 3\). Received: -1"),
        ([[0, 1, -2]], ValueError, r"a grade in \[0, 2147483648\). Received: -2"),
        ([[1, 2], [0, 1], [1, 2]], ValueError, "each pair once. Received: query 1 and row 2 twice"),
        ([[1, 2, 0]], ValueError, "at least one pair with a positive grade"),
    ],
)
def test_invalid_pairs_raise(relevant, error, message):
    with pytest.raises(error, match=f"`relevant` must (be|have) .*{message}|`relevant` {message}"):
        retrieval(np.ones((4, 2)), np.ones((3, 2)), relevant=relevant)


def test_pairs_cannot_be_given_with_ids_or_with_the_query_itself():
    with pytest.raises(ValueError, match="`relevant` must be None if ids are given"):
        retrieval(np.ones((4, 2)), np.ones((4, 2)), range(4), relevant=[[0, 1]])
    with pytest.raises(ValueError, match=r"its own row .* Received: query 2 and row 2"):
        retrieval(np.ones((4, 2)), relevant=[[0, 1], [2, 2]])
