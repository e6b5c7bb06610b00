"""Ranks and recall in float64, with a loop over anchors and candidates."""

import itertools

import numpy as np


def cosine(a, b):
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return a @ b / lengths if lengths else 0.0


def rank(anchor, positive_similarity, candidates, is_negative):
    """Returns the rank of the positive, 1 for the best. Ties count against it."""
    result = 1
    for candidate, negative in zip(candidates, is_negative, strict=True):
        # Equal similarities may differ in the last digits of float32.
        if negative and cosine(anchor, candidate) >= positive_similarity - 1e-6:
            result += 1
    return result


def hits(anchors, candidates, ids, k):
    """Returns 1 for each anchor whose row in the other view is among the k nearest, else 0."""
    found = []
    for i, anchor in enumerate(anchors):
        is_negative = [other != ids[i] for other in ids]
        found.append(rank(anchor, cosine(anchor, candidates[i]), candidates, is_negative) <= k)
    return np.array(found, "float64")


def with_weight(views, ids, weights):
    """Returns the views, the ids and the weights of the rows whose weight is not zero."""
    weights = np.ones(len(views[0])) if weights is None else weights
    some = weights != 0
    return [np.asarray(view)[some] for view in views], np.asarray(ids)[some], weights[some]


def recall_of_views(views, k, ids=None, weights=None):
    """Returns the mean over the rows with a weight, and over all ordered pairs of views."""
    ids = range(len(views[0])) if ids is None else ids
    views, ids, weights = with_weight(views, ids, weights)
    per_row = np.mean([hits(a, b, ids, k) for a, b in itertools.permutations(views, 2)], axis=0)
    return np.average(per_row, weights=weights)


def recall_of_batches(batches, k=1):
    """Returns the mean over all rows of batches `(views, ids, weights)`; searches are per batch."""
    total, weight = 0.0, 0.0
    for views, ids, weights in batches:
        weights = np.ones(len(views[0])) if weights is None else weights
        total += np.sum(weights) * recall_of_views(views, k, ids, weights)
        weight += np.sum(weights)
    return total / weight


def hits_of_labels(rows, labels, k):
    """Returns for each row whether the nearest other row of its label is among the k nearest.

    The value is `None` for a row whose label no other row has.
    """
    found = []
    for i, row in enumerate(rows):
        positives = [
            cosine(row, rows[j]) for j in range(len(rows)) if j != i and labels[j] == labels[i]
        ]
        is_negative = [label != labels[i] for label in labels]
        found.append(rank(row, max(positives), rows, is_negative) <= k if positives else None)
    return found


def recall_of_labels(rows, labels, k, weights=None):
    (rows,), labels, weights = with_weight([rows], labels, weights)
    found = [
        (hit, weight)
        for hit, weight in zip(hits_of_labels(rows, labels, k), weights, strict=True)
        if hit is not None
    ]
    total = sum(weight for _, weight in found)
    return sum(hit * weight for hit, weight in found) / total if total else 0.0


def ranks_in_corpus(queries, candidates, query_ids, candidate_ids, exclude_self=False):
    """Returns the rank of the nearest positive of each query."""
    ranks = []
    for row, (query, query_id) in enumerate(zip(queries, query_ids, strict=True)):
        nearest = max(
            cosine(query, c)
            for other, (c, i) in enumerate(zip(candidates, candidate_ids, strict=True))
            if i == query_id and not (exclude_self and other == row)
        )
        ranks.append(rank(query, nearest, candidates, [i != query_id for i in candidate_ids]))
    return np.array(ranks)
