"""Paired comparison of two retrievals."""

from collections.abc import Mapping

import numpy as np

from keras_contrastive._typing import ArrayLike
from keras_contrastive.evaluation._standard_error import mean_and_error


def compare(a: Mapping[str, ArrayLike], b: Mapping[str, ArrayLike]) -> dict[str, float]:
    """Compares two models on the same queries: the mean differences `b - a`, and their errors.

    Differences are paired by query, so the errors do not contain what makes a query difficult for
    both models. Queries without a relevant row are left out.

    Args:
        a: Result of `retrieval` with `per_query=True`.
        b: Result of another model, for the same queries and metrics.

    Returns:
        A dict of floats: for each measure the mean of `b - a`, followed by its standard error over
        the queries, such as `mrr` and `mrr_error`.

    Raises:
        ValueError: If the measures or the numbers of queries differ.

    Example:

    >>> a, b = {"mrr": np.array([0.5, 1.0])}, {"mrr": np.array([1.0, 1.0])}
    >>> compare(a, b)
    {'mrr': 0.25, 'mrr_error': 0.25}
    """
    if set(a) != set(b):
        raise ValueError(
            f"`a` and `b` must have the same measures. Received: {', '.join(a)} and {', '.join(b)}."
        )
    results = {}
    for name in a:
        first, second = np.asarray(a[name], "float64"), np.asarray(b[name], "float64")
        if first.ndim != 1 or first.shape != second.shape:
            raise ValueError(
                "`a` and `b` must have one value of each measure for each query. "
                f"Received: {name} with the shapes {first.shape} and {second.shape}. "
                "Pass the results of `retrieval` with `per_query=True`."
            )
        differences = second - first
        mean, error = mean_and_error(differences[~np.isnan(differences)])
        results[name], results[f"{name}_error"] = mean, error
    return results
