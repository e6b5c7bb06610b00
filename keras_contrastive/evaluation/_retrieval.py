"""Retrieval: the rank of the nearest positive in a whole corpus."""

import math
from collections.abc import Iterable

import numpy as np
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import has_positive, nearest_positive, positive_ranks
from keras_contrastive._typing import Array, ArrayLike, Tensor
from keras_contrastive.evaluation._inputs import (
    all_finite,
    check_same_dim,
    checked_ranks,
    float_tensor,
    unit_rows,
)


def retrieval(
    queries: ArrayLike,
    candidates: ArrayLike,
    query_ids: ArrayLike | None = None,
    candidate_ids: ArrayLike | None = None,
    k: Iterable[int] = (1, 5, 10),
    *,
    exclude_self: bool = False,
) -> dict[str, float]:
    """Ranks the nearest positive of each query among all candidates, by cosine.

    A candidate with the id of the query is a positive. The rank of the nearest positive is one more
    than the number of negatives that are at least as close, so ties count against it. If an
    embedding is NaN or infinite, all measures are NaN. Similarities are computed in tiles; see
    `keras_contrastive.config.set_tile_shape`.

    Args:
        queries: Float array `(num_queries, dim)`.
        candidates: Float array `(num_candidates, dim)`.
        query_ids: Int array `(num_queries,)`. Defaults to the row numbers.
        candidate_ids: Int array `(num_candidates,)`. Defaults to the row numbers.
        k: Positive integers, the ranks at which recall is reported.
        exclude_self: Whether candidate i is query i, and no positive of it. Use it if one set of
            rows is both queries and candidates, with labels as ids. The ids of both are then equal,
            and those of one are enough.

    Returns:
        A dict of floats: `recall_at_{k}` in [0, 1], `median_rank` (1 is the best) and `mrr`, the
        mean of 1 / rank. Random embeddings have a recall of about `k / num_candidates`.

    Raises:
        TypeError: If ids are not integers, or `k` has the wrong type.
        ValueError: If shapes or ids do not match, or a query has no positive.

    Reference:
        - [Song et al., 2016](https://arxiv.org/abs/1511.06452), Sec. 5, for `exclude_self`.

    Example:

    >>> results = retrieval(np.eye(3), np.eye(3)[[0, 2, 1]], k=(1, 2))
    >>> {name: round(value, 3) for name, value in results.items()}
    {'recall_at_1': 0.333, 'recall_at_2': 0.333, 'median_rank': 3.0, 'mrr': 0.556}

    Labeled rows that are searched from each other:

    >>> rows, labels = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]]), np.array([7, 7, 3])
    >>> retrieval(rows[:2], rows[:2], labels[:2], k=(1,), exclude_self=True)["recall_at_1"]
    1.0
    """
    if not isinstance(exclude_self, (bool, np.bool_)):
        raise TypeError(f"`exclude_self` must be a bool. Received: exclude_self={exclude_self!r}.")
    if exclude_self:
        query_ids = candidate_ids if query_ids is None else query_ids
        candidate_ids = query_ids if candidate_ids is None else candidate_ids
        queries = float_tensor(queries, "queries")
        candidates = float_tensor(candidates, "candidates")
        _check_same_rows(queries, candidates)
    queries, query_ids = unit_rows(queries, query_ids, ("queries", "query_ids"))
    candidates, candidate_ids = unit_rows(
        candidates, candidate_ids, ("candidates", "candidate_ids")
    )
    check_same_dim(queries, candidates, ("queries", "candidates"))
    k = checked_ranks(k)
    if exclude_self:
        _check_same_ids(query_ids, candidate_ids)
    if not all_finite(queries, candidates):
        names = [*(f"recall_at_{rank}" for rank in k), "median_rank", "mrr"]
        return dict.fromkeys(names, math.nan)
    ranks = ranks_of_positives(queries, candidates, query_ids, candidate_ids, bool(exclude_self))
    results = {f"recall_at_{rank}": float(np.mean(ranks <= rank)) for rank in k}
    return results | {"median_rank": float(np.median(ranks)), "mrr": float(np.mean(1 / ranks))}


def ranks_of_positives(
    queries: Tensor,
    candidates: Tensor,
    query_ids: Tensor,
    candidate_ids: Tensor,
    exclude_self: bool = False,
) -> Array:
    """Returns the rank of the nearest positive of each query, 1 for the best. See `retrieval`."""
    corpus = queries, candidates, query_ids, candidate_ids
    nearest = nearest_positive(*corpus, exclude_self=exclude_self, python_loop=True)
    found = ops.convert_to_numpy(has_positive(nearest))
    if not found.all():
        row = int(np.argmin(found))
        if exclude_self:
            raise ValueError(
                "`query_ids` must contain each id at least twice if `exclude_self` is True. "
                f"Received: query {row}, and no other row has its id {int(query_ids[row])}. "
                "Pass labels as ids, and remove rows whose label occurs once."
            )
        raise ValueError(
            "`query_ids` must be ids of candidates. "
            f"Received: query {row}, which has no candidate with its id. "
            "Use ids of the same data set for queries and candidates."
        )
    # Candidate i has the id of query i, so it is never a negative of it.
    return 1 + ops.convert_to_numpy(positive_ranks(*corpus, nearest, python_loop=True))


def _check_same_rows(queries: Tensor, candidates: Tensor) -> None:
    if tuple(queries.shape) != tuple(candidates.shape):
        shapes = {"queries": queries.shape, "candidates": candidates.shape}
        raise ValueError(
            "`queries` and `candidates` must be the same rows if `exclude_self` is True. "
            f"Received: {_checks.listing(shapes)}."
        )


def _check_same_ids(query_ids: Tensor, candidate_ids: Tensor) -> None:
    if not bool(ops.all(query_ids == candidate_ids)):
        raise ValueError(
            "`query_ids` and `candidate_ids` must be equal if `exclude_self` is True, since "
            "queries and candidates are the same rows in the same order. Received: different ids."
        )
