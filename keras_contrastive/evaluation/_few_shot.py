"""A few labeled examples of each class, drawn several times."""

import math

import numpy as np


def few_shot(evaluate, labels, shots, draws, seed):
    """Means and standard errors over draws of `shots` rows of each class.

    Args:
        evaluate: A function from row numbers to a dict of numbers.
        labels: Int array `(rows,)`.
        shots: A positive int, or several.
        draws: How many draws, at least one. Draw `i` is the same for equal labels and seed.
        seed: Int.

    Returns:
        A dict with `{shots}_shot_{name}` and, for several draws, `{shots}_shot_{name}_error`, the standard error.
    """
    results = {}
    by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if draws < 1:
        raise ValueError(f"`draws` must be a positive integer. Received: draws={draws}.")
    for count in np.atleast_1d(shots):
        fewest = min(by_class, key=len)
        if not 1 <= count <= len(fewest):
            raise ValueError(
                f"`shots` must be in [1, {len(fewest)}]: class {labels[fewest[0]]} has {len(fewest)} rows. "
                f"Received: shots={count}."
            )
        runs = []
        for draw in range(draws):
            rng = np.random.default_rng([seed, int(count), draw])
            runs.append(
                evaluate(
                    np.concatenate([rng.choice(rows, count, replace=False) for rows in by_class])
                )
            )
        for name in runs[0]:
            values = np.array([run[name] for run in runs])
            results[f"{count}_shot_{name}"] = float(values.mean())
            if draws > 1:
                results[f"{count}_shot_{name}_error"] = float(values.std(ddof=1) / math.sqrt(draws))
    return results
