"""Retrieval measures equal those that other libraries computed. See `oracles.py`."""

import json

import pytest

from keras_contrastive.evaluation import retrieval
from tests.conformance import oracles

FIXTURE = json.loads(oracles.FILE.read_text(encoding="utf-8"))
CASES = FIXTURE["cases"]
METRICS = (
    *("hit_rate_at_k", "recall_at_k", "precision_at_k", "mrr_at_k", "map_at_k", "ndcg_at_k"),
    *("mrr", "map", "map_at_r", "r_precision", "ndcg"),
)


def test_the_cases_have_ties_grades_and_0_to_7_relevant_rows():
    graded = [case for case in CASES if "relevant" in case]
    counts = {
        sum(pair[0] == query for pair in case["relevant"])
        for case in graded
        for query in range(oracles.QUERIES)
    }
    assert len(graded) == 50
    assert counts == set(range(8))
    assert {pair[2] for case in graded for pair in case["relevant"]} == {1, 2, 3}
    assert {library for case in CASES for library in case["expected"]} == {
        *("torchmetrics", "trec_eval", "scikit-learn", "pytorch-metric-learning")
    }


def test_measures_equal_those_of_other_libraries():
    for number, case in enumerate(CASES):
        arguments = {name: value for name, value in case.items() if name != "expected"}
        found = retrieval(**arguments, k=FIXTURE["k"], metrics=METRICS)
        for library, expected in case["expected"].items():
            for name, value in expected.items():
                place = f"case {number}, {library}, {name}"
                assert found[name] == pytest.approx(value, abs=1e-6), place


@pytest.mark.conformance
def test_other_libraries_still_return_the_values_of_the_file():
    content = oracles.results()
    assert content["versions"] == FIXTURE["versions"]
    for case, expected in zip(content["cases"], CASES, strict=True):
        values = {library: pytest.approx(v) for library, v in expected["expected"].items()}
        assert case == {**expected, "expected": values}


@pytest.mark.conformance
def test_measures_equal_those_of_sentence_transformers():
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    k, rows = (1, 5), range(oracles.ROWS)
    ours = {"accuracy": "hit_rate", "precision": "precision", "recall": "recall", "mrr": "mrr"}
    for case in oracles.graded_cases(10):
        grades, scores = oracles.ranking(case)
        relevant = {str(query): set(map(str, row.nonzero()[0])) for query, row in enumerate(grades)}
        evaluator = InformationRetrievalEvaluator(
            dict.fromkeys(relevant, ""),
            dict.fromkeys(map(str, rows), ""),
            relevant,
            accuracy_at_k=k,
            precision_recall_at_k=k,
            mrr_at_k=k,
            ndcg_at_k=k,
            map_at_k=(oracles.ROWS,),
        )
        hits = [
            [{"corpus_id": str(row), "score": scores[int(query), row]} for row in rows]
            for query in evaluator.queries_ids
        ]
        theirs = evaluator.compute_metrics(hits)
        found = retrieval(
            case["queries"],
            case["corpus"],
            # It has no grades.
            relevant=[[query, row, 1] for query, row, _ in case["relevant"]],
            k=k,
            metrics=METRICS,
        )
        assert theirs["map@k"][oracles.ROWS] == pytest.approx(found["map"], abs=1e-6)
        for name in ("accuracy", "precision", "recall", "mrr", "ndcg"):
            for cut in k:
                expected = pytest.approx(found[f"{ours.get(name, name)}_at_{cut}"], abs=1e-6)
                assert theirs[f"{name}@k"][cut] == expected, f"{name}@{cut}"
