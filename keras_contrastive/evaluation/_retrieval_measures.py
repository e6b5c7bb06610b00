"""Measures of one ranking, from the places of its relevant rows."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np

from keras_contrastive._typing import Array
from keras_contrastive.evaluation._places import Places

_Measure: TypeAlias = Callable[[Places, float], Array]


def _reciprocal_rank(p: Places, k: float) -> Array:
    return np.where(p.found(k) > 0, 1 / p.places[:, 0], 0.0)


# Measures of the first k rows. Infinity stands for all rows.
_CUT: dict[str, _Measure] = {
    "hit_rate": lambda p, k: (p.found(k) > 0).astype("float64"),
    "recall": lambda p, k: p.found(k) / p.counts,
    "precision": lambda p, k: p.found(k) / k,
    "mrr": _reciprocal_rank,
    "map": lambda p, k: p.precision_sum(k) / p.counts,
    "ndcg": lambda p, k: p.gain(k) / p.ideal_gain(k),
}
_OF_ALL = ("mrr", "map", "ndcg")  # those of `_CUT` that also exist without a cut
_OTHER: dict[str, Callable[[Places], Array]] = {
    "map_at_r": lambda p: p.precision_sum(p.counts) / p.counts,
    "r_precision": lambda p: p.found(p.counts) / p.counts,
    "mean_rank": lambda p: p.places[:, 0],
    "median_rank": lambda p: p.places[:, 0],
}
# Those that depend on the places of all relevant rows.
_NEED_ALL = ("map", "map_at_r", "r_precision", "ndcg")
METRICS = (*(f"{name}_at_k" for name in _CUT), *_OF_ALL, *_OTHER)


def names_of(metrics: Iterable[str], k: Iterable[int]) -> list[str]:
    """Returns the names of the results: `recall_at_k` stands for one at each cut."""
    return [name for name, _, _ in _with_cuts(metrics, k)]


def needs_all(metrics: Iterable[str], is_graded: bool) -> bool:
    """Returns whether a measure depends on the places of all relevant rows."""
    # Ties of rows with different grades are ordered by grade, beyond the cut too.
    return any(name in _NEED_ALL or (is_graded and name == "ndcg_at_k") for name in metrics)


def measures_of(places: Places, metrics: Iterable[str], k: Iterable[int]) -> dict[str, Array]:
    """Returns the measures of each query by name, float64 `(queries,)`."""
    results = {}
    for name, metric, cut in _with_cuts(metrics, k):
        results[name] = _OTHER[metric](places) if metric in _OTHER else _CUT[metric](places, cut)
    return results


def _with_cuts(metrics: Iterable[str], k: Iterable[int]) -> list[tuple[str, str, float]]:
    """Returns the name of each result, its measure and its cut."""
    cuts = list(k)
    results: list[tuple[str, str, float]] = []
    for metric in metrics:
        base = metric.removesuffix("_at_k")
        if base == metric:
            results.append((metric, metric, np.inf))
        else:
            results += [(f"{base}_at_{cut}", base, cut) for cut in cuts]
    return results
