"""Checks of the arguments that state which rows are relevant to a query."""

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array, ArrayLike
from keras_contrastive.evaluation._inputs import (
    as_array,
    check_same_dim,
    checked_integers,
    embedding_rows,
)
from keras_contrastive.evaluation._relevance import EqualIds, GradedPairs, Relevance


def check_sets(
    queries: ArrayLike, corpus: ArrayLike | None, exclude_self: bool
) -> tuple[Array, Array, bool]:
    """Returns queries and corpus as arrays `(rows, dim)`, and whether they are the same rows.

    Args:
        queries: Array `(num_queries, dim)`.
        corpus: Array `(num_rows, dim)`, or `None` for the queries.
        exclude_self: Whether row i of the corpus is query i.
    """
    exclude_self = _checks.boolean("exclude_self", exclude_self)
    queries = embedding_rows(queries, "queries")
    if corpus is None:
        return queries, queries, True
    corpus = embedding_rows(corpus, "corpus")
    if exclude_self and queries.shape != corpus.shape:
        shapes = {"queries": queries.shape, "corpus": corpus.shape}
        raise ValueError(
            "`queries` and `corpus` must be the same rows if `exclude_self` is True. "
            f"Received: {_checks.listing(shapes)}."
        )
    check_same_dim(queries, corpus, ("queries", "corpus"))
    return queries, corpus, exclude_self


def equal_ids(
    query_ids: ArrayLike | None,
    corpus_ids: ArrayLike | None,
    num_queries: int,
    num_rows: int,
    exclude_self: bool,
    each_query: bool = True,
) -> Relevance:
    """Returns that rows with the id of the query are relevant.

    Args:
        query_ids: Int array `(num_queries,)`, or `None` for the row numbers.
        corpus_ids: Int array `(num_rows,)`, or `None` for the row numbers.
        num_queries: The number of queries.
        num_rows: The number of rows of the corpus.
        exclude_self: Whether row i of the corpus is query i. The ids of one are then enough.
        each_query: Whether each query must have a relevant row.
    """
    if exclude_self:
        query_ids = corpus_ids if query_ids is None else query_ids
        corpus_ids = query_ids if corpus_ids is None else corpus_ids
    query_ids, corpus_ids = (
        np.arange(rows) if ids is None else checked_integers(ids, rows, names)
        for ids, rows, names in (
            (query_ids, num_queries, ("queries", "query_ids")),
            (corpus_ids, num_rows, ("corpus", "corpus_ids")),
        )
    )
    if exclude_self and (query_ids != corpus_ids).any():
        raise ValueError(
            "`query_ids` and `corpus_ids` must be equal if `exclude_self` is True, since queries "
            "and corpus are the same rows in the same order. Received: different ids."
        )
    relevance = EqualIds(query_ids, corpus_ids, exclude_self)
    if not each_query or (relevance.counts > 0).all():
        return relevance
    row = int(np.argmin(relevance.counts))
    if exclude_self:
        raise ValueError(
            "`query_ids` must contain each id at least twice if `exclude_self` is True. "
            f"Received: query {row}, and no other row has its id {int(query_ids[row])}. "
            "Pass labels as ids, and remove rows whose label occurs once."
        )
    raise ValueError(
        "`query_ids` must be ids of the corpus. "
        f"Received: query {row}, and no row of the corpus has its id {int(query_ids[row])}. "
        "Use ids of the same data set for queries and corpus."
    )


def listed_pairs(
    relevant: ArrayLike, num_queries: int, num_rows: int, exclude_self: bool
) -> Relevance:
    """Returns that the listed pairs are relevant. See `retrieval`."""
    pairs = _checked_pairs(relevant, num_queries, num_rows, exclude_self)
    return GradedPairs(pairs, num_queries, num_rows, exclude_self)


def _checked_pairs(
    relevant: ArrayLike, num_queries: int, num_rows: int, exclude_self: bool
) -> Array:
    """Returns relevant pairs as an int64 array `(pairs, 3)`, without those of grade 0.

    Args:
        relevant: The value to check. See `retrieval`.
        num_queries: The number of queries.
        num_rows: The number of rows of the corpus.
        exclude_self: Whether row i of the corpus is query i.
    """
    pairs = as_array(relevant, "relevant")
    if pairs.ndim != 2 or pairs.shape[1] not in (2, 3):
        raise ValueError(
            "`relevant` must have the shape (pairs, 2), or (pairs, 3) with grades. "
            f"Received: shape {pairs.shape}."
        )
    if not np.issubdtype(pairs.dtype, np.integer):
        raise TypeError(
            "`relevant` must be integers: query, row of the corpus, and grade. "
            f"Received: dtype {pairs.dtype}."
        )
    pairs = pairs.astype("int64")
    if pairs.shape[1] == 2:
        pairs = np.concatenate([pairs, np.ones_like(pairs[:, :1])], axis=1)
    limits = {"a query": num_queries, "a row of the corpus": num_rows, "a grade": 2**31}
    for (name, limit), column in zip(limits.items(), pairs.T, strict=True):
        wrong = (column < 0) | (column >= limit)
        if wrong.any():
            raise ValueError(
                f"`relevant` must have {name} in [0, {limit}). Received: {column[wrong][0]}."
            )
    if exclude_self and (pairs[:, 0] == pairs[:, 1]).any():
        query = pairs[pairs[:, 0] == pairs[:, 1]][0, 0]
        raise ValueError(
            "`relevant` must not have a query as its own row if the query is left out of the "
            f"corpus. Received: query {query} and row {query}."
        )
    distinct, counts = np.unique(pairs[:, :2], axis=0, return_counts=True)
    if len(distinct) < len(pairs):
        query, row = distinct[np.argmax(counts)]
        raise ValueError(
            f"`relevant` must have each pair once. Received: query {query} and row {row} twice."
        )
    pairs = pairs[pairs[:, 2] > 0]
    if not len(pairs):
        raise ValueError(
            "`relevant` must have at least one pair with a positive grade. Received: none."
        )
    return pairs
