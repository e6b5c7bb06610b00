"""Few-shot evaluation: a few labeled rows of each class, drawn several times."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array


def few_shot(
    evaluate: Callable[[Array], dict[str, float]],
    labels: Array,
    shots: int | Sequence[int],
    draws: int,
    seed: int,
) -> dict[str, float]:
    """Computes means and standard errors over draws of `shots` rows of each class.

    Args:
        evaluate: Function from row numbers to a dict of measures.
        labels: Int array `(rows,)`.
        shots: Positive integer, or several. How many rows of each class are drawn.
        draws: Positive integer, the number of draws. Draw `i` is the same for equal labels and
            seed.
        seed: Integer seed of the draws.

    Returns:
        A dict with `{shots}_shot_{name}` and, for several draws, `{shots}_shot_{name}_error`, the
        standard error.
    """
    draws = _checks.positive_int("draws", draws)
    results = {}
    by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    smallest = min(by_class, key=len)
    for count in np.atleast_1d(shots):
        _checks.integer("shots", count)
        if not 1 <= count <= len(smallest):
            raise ValueError(
                f"`shots` must be in [1, {len(smallest)}]. Received: shots={count}. "
                f"Class {labels[smallest[0]]} has only {len(smallest)} rows."
            )
        runs = []
        for draw in range(draws):
            rng = np.random.default_rng([seed, int(count), draw])
            rows = [rng.choice(rows, count, replace=False) for rows in by_class]
            runs.append(evaluate(np.concatenate(rows)))
        for name in runs[0]:
            values = np.array([run[name] for run in runs])
            results[f"{count}_shot_{name}"] = float(values.mean())
            if draws > 1:
                results[f"{count}_shot_{name}_error"] = float(values.std(ddof=1) / math.sqrt(draws))
    return results
