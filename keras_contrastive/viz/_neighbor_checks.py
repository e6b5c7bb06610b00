"""Checks of the arguments of `kc.viz.neighbors`."""

from typing import Any

import numpy as np

from keras_contrastive._typing import Array, ArrayLike
from keras_contrastive.viz._items import to_array

MOST_QUERIES, MOST_NEIGHBORS = 50, 12


def checked_rows(rows: ArrayLike, num_queries: int, num_corpus: int) -> Array:
    """Returns the row numbers of the neighbors as an array, or raises."""
    rows = to_array(rows)
    if rows.ndim != 2 or rows.dtype.kind not in "iu" or len(rows) != num_queries or not rows.size:
        raise ValueError(
            "`rows` must be integers `(queries, k)`, with one line for each query. "
            f"Received: rows {rows.shape} of dtype {rows.dtype}, {num_queries} queries."
        )
    if rows.min() < 0 or rows.max() >= num_corpus:
        raise ValueError(
            f"`rows` must be row numbers of the corpus, in [0, {num_corpus}). "
            f"Received: row numbers in [{rows.min()}, {rows.max()}]."
        )
    if rows.shape[0] > MOST_QUERIES or rows.shape[1] > MOST_NEIGHBORS:
        raise ValueError(
            f"`rows` must have at most {MOST_QUERIES} queries and {MOST_NEIGHBORS} neighbors. "
            f"Received: rows {rows.shape}. Pass some of them, such as `queries[:8]` and "
            "`rows[:8, :10]`."
        )
    return rows


def checked_scores(scores: ArrayLike | None, rows: Array) -> Array | None:
    """Returns the similarities as an array of the shape of `rows`, or raises."""
    scores = None if scores is None else to_array(scores)
    if scores is not None and scores.shape != rows.shape:
        raise ValueError(
            "`scores` must have the shape of `rows`. "
            f"Received: scores {scores.shape}, rows {rows.shape}."
        )
    return scores


def correct_neighbors(
    rows: Array, query_ids: Any, corpus_ids: Any, num_corpus: int
) -> Array | None:
    """Returns which neighbors have the id of their query, `(queries, k)`, or `None`."""
    if query_ids is None and corpus_ids is None:
        return None
    if query_ids is None or corpus_ids is None:
        raise ValueError(
            "`query_ids` and `corpus_ids` must both be given, or none of them. Received: "
            f"only {'corpus_ids' if query_ids is None else 'query_ids'}."
        )
    query_ids, corpus_ids = to_array(query_ids).reshape(-1), to_array(corpus_ids).reshape(-1)
    if len(query_ids) != len(rows) or len(corpus_ids) != num_corpus:
        raise ValueError(
            "`query_ids` and `corpus_ids` must have one id for each query and each item. Received: "
            f"{len(query_ids)} and {len(corpus_ids)} ids, {len(rows)} queries, {num_corpus} items."
        )
    return query_ids[:, None] == corpus_ids[rows]


def have_one_match(query_ids: ArrayLike, corpus_ids: ArrayLike) -> bool:
    """Returns whether each query has its id once in the corpus."""
    query_ids, corpus_ids = to_array(query_ids).reshape(-1), to_array(corpus_ids).reshape(-1)
    distinct, counts = np.unique(corpus_ids, return_counts=True)
    return bool(np.isin(query_ids, distinct[counts == 1]).all())
