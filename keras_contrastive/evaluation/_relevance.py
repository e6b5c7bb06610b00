"""Relevant rows of a corpus for each query, and their grades."""

import abc

import numpy as np

from keras_contrastive._typing import Array
from keras_contrastive.evaluation._search import is_other


class Relevance(abc.ABC):
    """Relevant rows of each query.

    Args:
        counts: Int array `(num_queries,)`, the numbers of relevant rows.
        exclude_self: Whether row i is query i, and neither relevant to it nor a negative of it.
    """

    is_graded = False

    def __init__(self, counts: Array, exclude_self: bool) -> None:
        self.counts = counts
        self.exclude_self = exclude_self

    @abc.abstractmethod
    def _matches(self, queries: slice, rows: slice) -> Array:
        """Returns which pairs are relevant, the query itself included, bool `(queries, rows)`."""

    def is_relevant(self, queries: slice, rows: slice, scores: Array) -> Array:
        """Returns which pairs are relevant. See `Keep`."""
        matches = self._matches(queries, rows)
        return matches & is_other(queries, rows, scores) if self.exclude_self else matches

    def is_negative(self, queries: slice, rows: slice, scores: Array) -> Array:
        """Returns which pairs are not relevant. See `Keep`."""
        others = ~self._matches(queries, rows)
        return others & is_other(queries, rows, scores) if self.exclude_self else others

    def grades(self, queries: slice, rows: Array) -> Array:
        """Returns the grades of rows, `(queries, n)`, for row numbers of that shape or -1."""
        return np.where(rows >= 0, 1, 0)

    def ideal_gain(self, k: float) -> Array:
        """Returns the discounted gain of the best order, cut at `k`, `(num_queries,)`."""
        largest = int(min(k, self.counts.max(initial=0)))
        gains = np.concatenate([[0.0], np.cumsum(discounts(np.arange(1, largest + 1)))])
        return gains[np.minimum(self.counts, largest)]


class EqualIds(Relevance):
    """Rows with the id of the query are relevant.

    Args:
        query_ids: Int array `(num_queries,)`.
        corpus_ids: Int array `(num_rows,)`.
        exclude_self: See `Relevance`.
    """

    def __init__(self, query_ids: Array, corpus_ids: Array, exclude_self: bool) -> None:
        self._query_ids = query_ids
        self._corpus_ids = corpus_ids
        known, counts = np.unique(corpus_ids, return_counts=True)
        places = np.minimum(np.searchsorted(known, query_ids), len(known) - 1)
        counts = np.where(known[places] == query_ids, counts[places], 0)
        super().__init__(counts - 1 if exclude_self else counts, exclude_self)

    def _matches(self, queries: slice, rows: slice) -> Array:
        return self._query_ids[queries, None] == self._corpus_ids[rows]


class GradedPairs(Relevance):
    """Listed pairs of a query and a row are relevant.

    Args:
        pairs: Int array `(pairs, 3)`: query, row and positive grade. Each pair occurs once.
        num_queries: The number of queries.
        num_rows: The number of rows of the corpus.
        exclude_self: See `Relevance`.
    """

    def __init__(self, pairs: Array, num_queries: int, num_rows: int, exclude_self: bool) -> None:
        queries, rows, grades = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].T
        super().__init__(np.bincount(queries, minlength=num_queries), exclude_self)
        self.is_graded = bool((grades != grades[:1]).any())
        self._queries, self._rows, self._grades = queries, rows, grades
        self._first = np.concatenate([[0], np.cumsum(self.counts)])
        self._keys = queries * num_rows + rows
        self._num_rows = num_rows

    def _matches(self, queries: slice, rows: slice) -> Array:
        matches = np.zeros((queries.stop - queries.start, rows.stop - rows.start), bool)
        pairs = slice(self._first[queries.start], self._first[queries.stop])
        found = self._rows[pairs]
        inside = (found >= rows.start) & (found < rows.stop)
        matches[self._queries[pairs][inside] - queries.start, found[inside] - rows.start] = True
        return matches

    def grades(self, queries: slice, rows: Array) -> Array:
        numbers = np.arange(queries.start, queries.stop)[:, None]
        places = np.searchsorted(self._keys, numbers * self._num_rows + np.maximum(rows, 0))
        # A query without pairs has the row -1 only.
        return np.where(rows >= 0, self._grades[np.minimum(places, len(self._keys) - 1)], 0)

    def ideal_gain(self, k: float) -> Array:
        order = np.lexsort((-self._grades, self._queries))
        places = 1 + np.arange(len(order)) - self._first[self._queries]
        gains = np.where(places <= k, self._grades[order] * discounts(places), 0.0)
        return np.bincount(self._queries, gains, minlength=len(self.counts))


def discounts(places: Array) -> Array:
    """Returns the discounts `1 / log2(1 + place)` of nDCG. The first place is 1."""
    return 1 / np.log2(1.0 + places)
