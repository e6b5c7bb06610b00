"""Exact search: the rows of a corpus that are nearest to each query."""

from collections.abc import Iterable, Iterator

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._engine import Block, eager_tile_shape, nearest_rows, unit_blocks
from keras_contrastive._typing import Array, ArrayLike
from keras_contrastive.evaluation._inputs import (
    check_finite,
    check_same_dim,
    embedding_rows,
)


def search(
    queries: ArrayLike,
    corpus: ArrayLike | Iterable[ArrayLike],
    k: int = 10,
    exclude_self: bool = False,
) -> tuple[Array, Array]:
    """Finds the `k` rows of a corpus that are nearest to each query, by cosine.

    The search is exact. Of rows with equal cosines, the lower row number comes first. Equal rows
    have equal cosines. The cosine with a row of zeros is zero. Cosines are computed in tiles; see
    `keras_contrastive.config.set_tile_shape`.

    Args:
        queries: Float array `(num_queries, dim)`.
        corpus: Float array `(num_rows, dim)`, or an iterable of such arrays for a corpus that does
            not fit in memory. Rows are numbered over all arrays, and each array is visited once.
        k: Positive integer, at most the number of rows.
        exclude_self: Whether row i of the corpus is query i, and not a result of it.

    Returns:
        Cosines, float32 `(num_queries, k)`, in descending order, and row numbers, int64
        `(num_queries, k)`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not match, the corpus has fewer than `k` rows, or an embedding is
            NaN or infinite.

    Example:

    >>> corpus = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
    >>> scores, rows = search(np.array([[2.0, 0.1]]), corpus, k=2)
    >>> rows
    array([[0, 2]])
    >>> scores.round(3)
    array([[0.999, 0.742]], dtype=float32)
    """
    exclude_self = _checks.boolean("exclude_self", exclude_self)
    k = _checks.positive_int("k", k)
    queries = embedding_rows(queries, "queries")
    check_finite(queries, "queries")
    if _is_chunked(corpus):
        chunks = corpus
    else:
        chunks = [embedding_rows(corpus, "corpus")]
        _check_k(k, len(chunks[0]), exclude_self)
    counted = _Counted(chunks, queries)
    scores, rows = nearest_rows(
        query_blocks(queries),
        unit_blocks(counted, eager_tile_shape()[1]),
        k,
        is_other if exclude_self else None,
    )
    _check_k(k, counted.rows, exclude_self)
    if exclude_self and counted.rows != len(queries):
        raise ValueError(
            "`corpus` must have the rows of `queries` if `exclude_self` is True. "
            f"Received: {len(queries)} queries and {counted.rows} rows."
        )
    return scores, rows


def query_blocks(queries: Array) -> list[Block]:
    """Returns unit rows of queries in blocks of the tile shape."""
    return list(unit_blocks([queries], eager_tile_shape()[0]))


def corpus_blocks(corpus: Array) -> list[Block]:
    """Returns unit rows of a corpus in blocks of the tile shape."""
    return list(unit_blocks([corpus], eager_tile_shape()[1]))


def is_other(queries: slice, rows: slice, scores: Array) -> Array:
    """Returns which rows have another number than the query, bool `(queries, rows)`."""
    return _numbers(queries)[:, None] != _numbers(rows)


def _numbers(rows: slice) -> Array:
    return np.arange(rows.start, rows.stop)


class _Counted:
    """Checks the arrays of a corpus when they are visited, and counts their rows."""

    def __init__(self, chunks: Iterable[ArrayLike], queries: Array) -> None:
        self.rows = 0
        self._chunks = chunks
        self._queries = queries

    def __iter__(self) -> Iterator[Array]:
        for chunk in self._chunks:
            rows = embedding_rows(chunk, "corpus")
            check_same_dim(self._queries, rows, ("queries", "corpus"))
            check_finite(rows, "corpus")
            self.rows += len(rows)
            yield rows


def _is_chunked(corpus: ArrayLike | Iterable[ArrayLike]) -> bool:
    """Returns whether a corpus is an iterable of arrays `(rows, dim)`."""
    if isinstance(corpus, (list, tuple)):
        return bool(corpus) and len(getattr(corpus[0], "shape", ())) == 2
    is_array = hasattr(corpus, "shape") or isinstance(corpus, (str, bytes, dict))
    return not is_array and isinstance(corpus, Iterable)


def _check_k(k: int, num_rows: int, exclude_self: bool) -> None:
    largest = num_rows - exclude_self
    if k > largest:
        others = ", the query left out" if exclude_self else ""
        raise ValueError(
            f"`k` must be at most {largest}, the number of rows of `corpus`{others}. "
            f"Received: k={k}."
        )
