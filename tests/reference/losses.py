"""The losses as the papers write them: loops over anchors and candidates, in float64."""

import itertools
import math

import numpy as np


def info_nce(views, ids, temperature, symmetric=True):
    """Oord et al., 2018, Eq. 4, for every pair of views: (batch,) values."""
    return _mean_over_directions(views, ids, temperature, symmetric, _info_nce)


def decoupled(views, ids, temperature, symmetric=True):
    """InfoNCE with the positive left out of the partition (Yeh et al., 2022, Eq. 6)."""
    return _mean_over_directions(views, ids, temperature, symmetric, _decoupled)


def jackknifed(views, ids, temperature, symmetric=True, include_positive=False):
    """(P1-18): m f(S) - (m - 1) / m * sum of f(S without negative k), minus the positive's logit."""

    def estimate(positives, negatives):
        m = len(negatives)
        population = m if include_positive else 0  # how many negatives the positive is one of; 0: it is left out

        def log_mean(logits, positive):
            total = np.mean(np.exp(logits)) + (np.exp(positive) / population if population else 0.0)
            return math.log(total)

        values = []
        for positive in positives:
            if m < 2:
                corrected = log_mean(negatives, positive)
            else:
                left_out = [log_mean(np.delete(negatives, k), positive) for k in range(m)]
                corrected = m * log_mean(negatives, positive) - (m - 1) / m * sum(left_out)
            values.append(corrected - positive)
        return np.mean(values)

    return _mean_over_directions(views, ids, temperature, symmetric, estimate)


def exponential(views, ids, temperature, weights, symmetric=True):
    """(P1-9) with delta = 0: -s + u * mean of exp(s_k), for given u `(batch, directions)`."""
    return _mean_over_directions(
        views,
        ids,
        temperature,
        symmetric,
        lambda positives, negatives, u: -np.mean(positives) + u * np.mean(np.exp(negatives)),
        weights,
    )


def log_mean_partitions(views, ids, temperature, symmetric=True):
    """Log of the mean of exp(logit) over the negatives, `(batch, directions)`."""
    columns = []
    for logits, _ in directions(views, ids, temperature, symmetric):
        columns.append([_log_mean(logits[i], ids, i) for i in range(len(ids))])
    return np.array(columns).T


def directions(views, ids, temperature, symmetric=True):
    """Yield the logits and the positives of each direction, both `(batch, batch)`."""
    views = [normalized(view) for view in views]
    same = np.array([[i == j for j in ids] for i in ids])
    if len(views) == 1:
        yield views[0] @ views[0].T / temperature, same & ~np.eye(len(ids), dtype=bool)
    for a, b in itertools.combinations(views, 2):
        yield a @ b.T / temperature, np.eye(len(ids), dtype=bool)
        if symmetric:
            yield b @ a.T / temperature, np.eye(len(ids), dtype=bool)


def normalized(view):
    view = np.asarray(view, "float64")
    lengths = np.linalg.norm(view, axis=1, keepdims=True)
    return view / np.where(lengths > 0, lengths, 1)


def numeric_gradient(function, x, step=1e-6):
    """Central differences in float64."""
    x = np.asarray(x, "float64")
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        moved = [x.copy(), x.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        gradient[index] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return gradient


def _log_mean(logits, ids, anchor):
    negatives = [logits[j] for j in range(len(ids)) if ids[j] != ids[anchor]]
    return math.log(np.mean(np.exp(negatives))) if negatives else -math.inf


def _info_nce(positives, negatives):
    return np.mean([math.log(math.exp(p) + sum(math.exp(n) for n in negatives)) - p for p in positives])


def _decoupled(positives, negatives):
    return math.log(sum(math.exp(n) for n in negatives)) - np.mean(positives)


def _mean_over_directions(views, ids, temperature, symmetric, loss, *per_direction):
    columns = []
    for d, (logits, is_positive) in enumerate(directions(views, ids, temperature, symmetric)):
        column = []
        for i in range(len(ids)):
            positives = [logits[i, j] for j in range(len(ids)) if is_positive[i, j]]
            negatives = [logits[i, j] for j in range(len(ids)) if ids[j] != ids[i]]
            extra = [values[i, d] for values in per_direction]
            column.append(loss(positives, negatives, *extra) if positives and negatives else 0.0)
        columns.append(column)
    return np.mean(columns, axis=0)
