"""The places of the relevant rows in the ranking of each query."""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np

from keras_contrastive._engine import TIE, count_at_least, nearest_rows
from keras_contrastive._typing import Array
from keras_contrastive.evaluation._relevance import Relevance, discounts
from keras_contrastive.evaluation._search import corpus_blocks, query_blocks


@dataclasses.dataclass(frozen=True)
class Places:
    """The places of the relevant rows of several queries.

    Args:
        places: Float array `(queries, n)` in ascending order, 1 is the best. Infinity stands for no
            further relevant row. The best `n` are enough for a cut at `n`.
        grades: Array `(queries, n)`.
        counts: Int array `(queries,)`, the numbers of all relevant rows. It is 1 if there are none.
        ideal_gain: Function from a cut to the largest possible discounted gains `(queries,)`.
    """

    places: Array
    grades: Array
    counts: Array
    ideal_gain: Callable[[float], Array]

    def found(self, k: float | Array) -> Array:
        """Returns how many relevant rows are among the first `k`, `(queries,)`."""
        return self._is_found(k).sum(axis=1)

    def precision_sum(self, k: float | Array) -> Array:
        """Returns the sum of the precisions at the places up to `k` of relevant rows."""
        precisions = np.arange(1, self.places.shape[1] + 1) / self.places
        return np.where(self._is_found(k), precisions, 0.0).sum(axis=1)

    def gain(self, k: float) -> Array:
        """Returns the discounted gain of the first `k` rows."""
        gains = self.grades * discounts(self.places)
        return np.where(self._is_found(k), gains, 0.0).sum(axis=1)

    def _is_found(self, k: float | Array) -> Array:
        return (self.places <= np.expand_dims(k, -1)) & np.isfinite(self.places)


def places_of(queries: Array, corpus: Array, relevance: Relevance, n: int) -> Iterator[Places]:
    """Yields the places of the best `n` relevant rows, one block of queries after the other.

    Args:
        queries: Array `(num_queries, dim)` of finite numbers.
        corpus: Array `(num_rows, dim)` of finite numbers.
        relevance: Which rows are relevant.
        n: Positive integer.
    """
    tiles, ideal_gain = corpus_blocks(corpus), functools.cache(relevance.ideal_gain)
    for block in query_blocks(queries):
        scores, rows = nearest_rows([block], tiles, n, relevance.is_relevant)
        # A missing row has the score -inf, so all negatives are before it.
        before = count_at_least(block, tiles, scores - TIE, relevance.is_negative)
        places = np.where(rows >= 0, np.arange(1.0, n + 1) + before, np.inf)
        grades = relevance.grades(block.rows, rows)
        if relevance.is_graded:
            grades = _lower_grades_first(scores, grades)
        counts = np.maximum(relevance.counts[block.rows], 1)

        def gain_of_block(k: float, queries: slice = block.rows) -> Array:
            gains = ideal_gain(k)[queries]
            return np.where(gains > 0, gains, 1.0)

        yield Places(places, grades, counts, gain_of_block)


def first_places(queries: Array, corpus: Array, relevance: Relevance) -> Array:
    """Returns the place of the first relevant row of each query, `(num_queries,)`."""
    return np.concatenate([p.places[:, 0] for p in places_of(queries, corpus, relevance, 1)])


def _lower_grades_first(scores: Array, grades: Array) -> Array:
    """Orders the grades of tied rows, `(queries, n)`. Scores are in descending order."""
    steps = np.diff(np.where(np.isfinite(scores), scores, -9.0), axis=1)
    group = np.cumsum(np.abs(steps) > TIE, axis=1)
    group = np.concatenate([np.zeros_like(grades[:, :1]), group], axis=1)
    order = np.lexsort((grades, group), axis=1)
    return np.take_along_axis(grades, order, axis=1)
