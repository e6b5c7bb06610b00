"""Measures of a search in float64, with a loop over the ranked rows of each query."""

import math

import numpy as np

from tests.reference.recall import cosine


def ranked_grades(query, corpus, grades, left_out=None):
    """Returns the grades of all rows, the nearest row first.

    Ties count against the query: of equal cosines, the lower grade comes first.
    """
    # Equal cosines differ in the last digits of float64.
    keys = [
        (-round(cosine(query, row), 6), grade) for row, grade in zip(corpus, grades, strict=True)
    ]
    rows = [row for row in range(len(corpus)) if row != left_out]
    return [grades[row] for row in sorted(rows, key=keys.__getitem__)]


def measures_of_query(ranked, k):
    """Returns all measures of one ranking, or NaN for each if no grade is positive."""
    places = [place for place, grade in enumerate(ranked, start=1) if grade > 0]
    count = len(places)
    results = {}
    for cut in (*k, None):
        end, suffix = (len(ranked), "") if cut is None else (cut, f"_at_{cut}")
        found = [place for place in places if place <= end]
        if cut is not None:
            results[f"hit_rate{suffix}"] = float(bool(found))
            results[f"recall{suffix}"] = len(found) / max(count, 1)
            results[f"precision{suffix}"] = len(found) / cut
        results[f"mrr{suffix}"] = 1 / found[0] if found else 0.0
        results[f"map{suffix}"] = precisions(found) / max(count, 1)
        ideal = gain(sorted(ranked, reverse=True)[:end])
        results[f"ndcg{suffix}"] = gain(ranked[:end]) / ideal if ideal else 0.0
    found = [place for place in places if place <= count]
    results["map_at_r"] = precisions(found) / max(count, 1)
    results["r_precision"] = len(found) / max(count, 1)
    results["rank"] = float(places[0]) if places else math.nan
    return results if count else dict.fromkeys(results, math.nan)


def precisions(places):
    return sum(number / place for number, place in enumerate(places, start=1))


def gain(grades):
    return sum(grade / math.log2(1 + place) for place, grade in enumerate(grades, start=1))


def values_of_queries(queries, corpus, grades, k, exclude_self=False):
    """Returns all measures by name, each an array with one value for each query."""
    values = [
        measures_of_query(ranked_grades(query, corpus, row, i if exclude_self else None), k)
        for i, (query, row) in enumerate(zip(queries, grades, strict=True))
    ]
    return {name: np.array([value[name] for value in values]) for name in values[0]}


def grades_of_ids(query_ids, corpus_ids):
    return (np.asarray(query_ids)[:, None] == np.asarray(corpus_ids)).astype("int64")


def mean_and_error(values):
    values = values[~np.isnan(values)]
    error = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return np.mean(values), error


def retrieval(queries, corpus, query_ids, corpus_ids, k, exclude_self=False):
    """Returns the default measures of rows that are relevant if their ids are equal."""
    values = values_of_queries(
        queries, corpus, grades_of_ids(query_ids, corpus_ids), k, exclude_self
    )
    results = {}
    for name in (*(f"{m}_at_{cut}" for m in ("hit_rate", "recall") for cut in k), "mrr"):
        results[name], results[f"{name}_error"] = mean_and_error(values[name])
    return results | {"median_rank": np.median(values["rank"])}
