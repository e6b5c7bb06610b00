"""Retrieval measures of other libraries on random cases, written to `retrieval.json`.

python -m tests.conformance.oracles
"""

import importlib.metadata
import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).with_name("retrieval.json")
PACKAGES = ("pytorch-metric-learning", "pytrec-eval-terrier", "scikit-learn", "torchmetrics")
K = (1, 3, 5)
QUERIES, ROWS, DIM, MOST_RELEVANT = 6, 15, 4, 7


def graded_cases(count):
    """Returns cases with 0 to 7 relevant rows for each query and grades 1 to 3.

    In every second case, many cosines are equal. Embeddings are integers, so a file holds them.
    """
    rng = np.random.default_rng(19)
    cases = []
    for number in range(count):
        largest = 1 if number % 2 else 40
        queries, corpus = (
            rng.integers(-largest, largest + 1, size=(rows, DIM)) for rows in (QUERIES, ROWS)
        )
        pairs = [
            [query, int(row), int(rng.integers(1, 4))]
            for query in range(QUERIES)
            for row in rng.choice(ROWS, rng.integers(MOST_RELEVANT + 1), replace=False)
        ]
        cases.append({"queries": queries.tolist(), "corpus": corpus.tolist(), "relevant": pairs})
    return cases


def labeled_cases(count):
    """Returns cases of labels without equal cosines, with and without a corpus of its own."""
    rng = np.random.default_rng(20)
    cases = []
    for number in range(count):
        labels = np.arange(12) % 4
        queries = rng.integers(-40, 41, size=(12, DIM))
        case = {"queries": queries.tolist(), "query_ids": labels.tolist()}
        if number % 2:
            corpus, corpus_ids = rng.integers(-40, 41, size=(ROWS, DIM)), np.arange(ROWS) % 5
            case |= {"corpus": corpus.tolist(), "corpus_ids": corpus_ids.tolist()}
        cases.append(case)
    return cases


def ranking(case):
    """Returns the grades of a case and distinct positive scores, both `(queries, rows)`.

    Libraries order ties in different ways. The scores have the documented order: of equal cosines,
    the lower grade comes first.
    """
    queries, corpus = (np.array(case[name], "float64") for name in ("queries", "corpus"))
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(corpus, axis=1)
    cosines = np.where(lengths > 0, queries @ corpus.T / np.maximum(lengths, 1), 0.0).round(9)
    grades = np.zeros(cosines.shape, "int64")
    for query, row, grade in case["relevant"]:
        grades[query, row] = grade
    order = np.lexsort((grades, -cosines), axis=1)
    scores = np.empty(cosines.shape)
    np.put_along_axis(scores, order, np.arange(ROWS, 0.0, -1.0)[None], axis=1)
    return grades, scores


def from_torchmetrics(grades, scores):
    import torch
    from torchmetrics import retrieval

    queries = torch.arange(QUERIES).repeat_interleave(ROWS)
    preds, targets = torch.tensor(scores).flatten().float(), torch.tensor(grades).flatten()
    skip = {"empty_target_action": "skip"}
    cut = {
        "hit_rate": retrieval.RetrievalHitRate,
        "mrr": retrieval.RetrievalMRR,
        "ndcg": retrieval.RetrievalNormalizedDCG,
        "precision": retrieval.RetrievalPrecision,
        "recall": retrieval.RetrievalRecall,
    }
    metrics = {f"{name}_at_{k}": make(top_k=k, **skip) for name, make in cut.items() for k in K}
    metrics |= {
        "map": retrieval.RetrievalMAP(**skip),
        "mrr": retrieval.RetrievalMRR(**skip),
        "ndcg": retrieval.RetrievalNormalizedDCG(**skip),
        "r_precision": retrieval.RetrievalRPrecision(**skip),
    }
    return {
        name: float(metric(preds, targets if "ndcg" in name else targets > 0, indexes=queries))
        for name, metric in metrics.items()
    }


def from_trec(grades, scores):
    import pytrec_eval

    cuts = ",".join(map(str, K))
    names = {
        "map": "map",
        "mrr": "recip_rank",
        "ndcg": "ndcg",
        "r_precision": "Rprec",
        **{f"map_at_{k}": f"map_cut_{k}" for k in K},
        **{f"ndcg_at_{k}": f"ndcg_cut_{k}" for k in K},
        **{f"precision_at_{k}": f"P_{k}" for k in K},
        **{f"recall_at_{k}": f"recall_{k}" for k in K},
        **{f"hit_rate_at_{k}": f"success_{k}" for k in K},
    }
    measures = {"map", "recip_rank", "ndcg", "Rprec"} | {
        f"{name}.{cuts}" for name in ("map_cut", "ndcg_cut", "P", "recall", "success")
    }
    relevant = {
        str(q): {str(row): int(grade) for row, grade in enumerate(row) if grade}
        for q, row in enumerate(grades)
        if row.any()
    }
    runs = {
        str(q): {str(row): float(score) for row, score in enumerate(row)}
        for q, row in enumerate(scores)
    }
    found = pytrec_eval.RelevanceEvaluator(relevant, measures).evaluate(runs)
    return {
        name: float(np.mean([query[theirs] for query in found.values()]))
        for name, theirs in names.items()
    }


def from_scikit_learn(grades, scores):
    from sklearn.metrics import average_precision_score, ndcg_score

    known = grades.any(axis=1)
    grades, scores = grades[known], scores[known]
    results = {f"ndcg_at_{k}": float(ndcg_score(grades, scores, k=k)) for k in K}
    precisions = [average_precision_score(*query) for query in zip(grades > 0, scores, strict=True)]
    return results | {"ndcg": float(ndcg_score(grades, scores)), "map": float(np.mean(precisions))}


def from_pytorch_metric_learning(case):
    import torch
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    names = {
        "hit_rate_at_1": "precision_at_1",
        "map": "mean_average_precision",
        "map_at_r": "mean_average_precision_at_r",
        "mrr": "mean_reciprocal_rank",
        "r_precision": "r_precision",
    }
    calculator = AccuracyCalculator(
        include=tuple(names.values()), k=ROWS, knn_func=CustomKNN(CosineSimilarity())
    )
    if "corpus" not in case:  # all other rows
        calculator.k = len(case["queries"]) - 1
    embeddings = {
        name: torch.tensor(case[name], dtype=torch.float64)
        for name in ("queries", "corpus")
        if name in case
    }
    reference = {}
    if "corpus" in case:
        reference = {
            "reference": embeddings["corpus"],
            "reference_labels": torch.tensor(case["corpus_ids"]),
        }
    found = calculator.get_accuracy(
        embeddings["queries"], torch.tensor(case["query_ids"]), **reference
    )
    return {name: float(found[theirs]) for name, theirs in names.items()}


def results():
    """Returns the versions, the cases, and the means of each library by case."""
    graded, labeled = graded_cases(50), labeled_cases(10)
    for case in graded:
        case["expected"] = {
            "torchmetrics": from_torchmetrics(*ranking(case)),
            "trec_eval": from_trec(*ranking(case)),
            "scikit-learn": from_scikit_learn(*ranking(case)),
        }
    for case in labeled:
        case["expected"] = {"pytorch-metric-learning": from_pytorch_metric_learning(case)}
    return {
        "command": "python -m tests.conformance.oracles",
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "k": list(K),
        "cases": graded + labeled,
    }


def main():
    content = results()
    cases = ",\n".join(json.dumps(case) for case in content.pop("cases"))
    head = json.dumps(content)[:-1]
    FILE.write_text(f'{head}, "cases": [\n{cases}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
