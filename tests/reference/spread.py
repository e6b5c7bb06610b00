"""Statistics of embeddings on the sphere in float64, with loops over rows and pairs."""

import itertools
import math

import numpy as np


def unit(row):
    row = np.asarray(row, "float64")
    length = math.sqrt(sum(x * x for x in row))
    return row / length if length else row


def units(view):
    return np.array([unit(row) for row in view])


def modality_gap(views, weights=None):
    """Liang et al. (2022), Sec. 4.2: distance between the centers, averaged over pairs of views."""
    centers = [np.average(units(view), axis=0, weights=weights) for view in views]
    return np.mean([np.linalg.norm(a - b) for a, b in itertools.combinations(centers, 2)])


def alignment(views, alpha=2, weights=None):
    """Wang & Isola (2020), Sec. 4.1, Eq. 1, for positive pairs that are views of one row."""
    pairs = itertools.combinations(map(units, views), 2)
    per_row = np.mean(
        [[np.linalg.norm(x - y) ** alpha for x, y in zip(a, b, strict=True)] for a, b in pairs],
        axis=0,
    )
    return np.average(per_row, weights=weights)


def alignment_of_labels(view, labels, weights=None):
    """The same with alpha = 2, for positives with the same label.

    The mean over the positives of a row, then over the rows that have any. Rows of weight 0 do not
    count.
    """
    rows, total, weight = units(view), 0.0, 0.0
    for i, row in enumerate(rows):
        squares = [
            np.sum((row - rows[j]) ** 2)
            for j in range(len(rows))
            if j != i and labels[j] == labels[i] and (weights is None or weights[j])
        ]
        if squares:
            w = 1.0 if weights is None else weights[i]
            total, weight = total + w * np.mean(squares), weight + w
    return total / weight if weight else 0.0


def uniformity(batches, t=2):
    """Wang & Isola (2020), Sec. 4.1, Eq. 2, averaged over views.

    `batches` is a list of `(views, ids, weights)`; `ids` and `weights` may be `None`. A pair
    consists of two rows of one batch with different ids. Its weight is the mean weight of its rows,
    or 0 if one has weight 0.
    """
    potentials = []
    for view in range(len(batches[0][0])):
        total, count = 0.0, 0.0
        for views, ids, weights in batches:
            rows = units(views[view])
            ids = range(len(rows)) if ids is None else ids
            weights = np.ones(len(rows)) if weights is None else weights
            for i, j in itertools.combinations(range(len(rows)), 2):
                if ids[i] != ids[j] and weights[i] and weights[j]:
                    total += (
                        (weights[i] + weights[j])
                        / 2
                        * math.exp(-t * np.sum((rows[i] - rows[j]) ** 2))
                    )
                    count += (weights[i] + weights[j]) / 2
        potentials.append(math.log(total / count) if count else 0.0)
    return np.mean(potentials)


def embedding_std(views, weights=None):
    """Chen & He (2021), Sec. 4.1: mean standard deviation of the dimensions, times sqrt(dim)."""
    stds = []
    for view in map(units, views):
        center = np.average(view, axis=0, weights=weights)
        variance = np.average((view - center) ** 2, axis=0, weights=weights)
        stds.append(np.mean(np.sqrt(variance)) * math.sqrt(view.shape[1]))
    return np.mean(stds)


def effective_rank(views, order=2, weights=None):
    """Exponential of the Rényi entropy of the squared singular values of the rows."""
    ranks = []
    for view in map(units, views):
        weights = np.ones(len(view)) if weights is None else weights
        shares = np.linalg.svd(view * np.sqrt(weights)[:, None], compute_uv=False) ** 2
        shares = [p for p in shares / np.sum(shares) if p > 0]
        if order == 1:
            ranks.append(math.exp(-sum(p * math.log(p) for p in shares)))
        else:
            ranks.append(1 / sum(p * p for p in shares))
    return np.mean(ranks)
