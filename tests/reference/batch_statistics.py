"""Losses of two views without negatives, in float64, as loops over dimensions."""

import numpy as np


def _kept(views, weights):
    weights = np.ones(len(views[0])) if weights is None else np.asarray(weights, "float64")
    rows = np.flatnonzero(weights)
    return [np.asarray(view, "float64")[rows] for view in views], weights[rows]


def barlow_twins(views, weights=None, redundancy_weight=0.005):
    """Zbontar et al., 2021, Eq. 1 and 2, with the batch normalization of Algorithm 1."""
    (a, b), weights = _kept(views, weights)
    if len(weights) < 2:
        return 0.0
    columns = []
    for view in (a, b):
        mean = np.average(view, axis=0, weights=weights)
        variance = np.average((view - mean) ** 2, axis=0, weights=weights)
        columns.append(((view - mean) / np.sqrt(variance + 1e-5)).T)
    total = 0.0
    for i, of_a in enumerate(columns[0]):
        for j, of_b in enumerate(columns[1]):
            correlation = np.average(of_a * of_b, weights=weights)
            total += (1 - correlation) ** 2 if i == j else redundancy_weight * correlation**2
    return total


def vicreg(views, weights=None, invariance=25.0, variance=25.0, covariance=1.0):
    """Bardes et al., 2022, Eq. 1 to 6, with the means of the published code (and of lightly)."""
    (a, b), weights = _kept(views, weights)
    if len(weights) < 2:
        return 0.0
    total = invariance * np.average(((a - b) ** 2).mean(axis=1), weights=weights)
    for view in (a, b):
        matrix = np.atleast_2d(np.cov(view.T, aweights=weights))
        deviations = np.sqrt(np.diag(matrix) + 1e-4)
        total += variance * np.mean([max(0, 1 - x) for x in deviations]) / 2
        for i in range(len(matrix)):
            for j in range(len(matrix)):
                total += covariance * (i != j) * matrix[i, j] ** 2 / len(matrix)
    return total


def negative_cosine(views):
    """Chen & He, 2021, Eq. 1, for each row."""
    a, b = (np.asarray(view, "float64") for view in views)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return -np.array([x @ y for x, y in zip(a, b, strict=True)]) / lengths
