"""The largest scores of each query, over a corpus that is visited tile by tile."""

import numpy as np

from keras_contrastive._typing import Array


class RunningTop:
    """Keeps the `k` largest scores of each query. Of equal scores, the earlier row comes first.

    Args:
        num_queries: The number of queries.
        k: Positive integer.
    """

    def __init__(self, num_queries: int, k: int) -> None:
        self._k = k
        self._scores = np.full((num_queries, k), -np.inf, "float32")
        self._rows = np.full((num_queries, k), -1, "int64")
        self._pending: list[tuple[Array, Array, Array]] = []
        self._num_pending = 0

    def add(self, scores: Array, first_row: int) -> None:
        """Adds the scores of the next rows.

        Args:
            scores: Float array `(num_queries, rows)` without NaN. `-inf` leaves a row out.
            first_row: The number of the first row. Rows come in ascending order.
        """
        # A later row must be strictly better, so ties keep the order of the rows.
        is_better = scores > self._scores[:, -1:]
        num_rows = scores.shape[1]
        if num_rows > self._k and np.count_nonzero(is_better) > 2 * self._scores.size:
            kth = np.partition(scores, num_rows - self._k, axis=1)[:, num_rows - self._k]
            is_better &= scores >= kth[:, None]
        queries, columns = np.nonzero(is_better)
        self._pending.append((queries, scores[queries, columns], first_row + columns))
        self._num_pending += len(queries)
        if self._num_pending >= self._scores.size:
            self._merge()

    def result(self) -> tuple[Array, Array]:
        """Returns scores, float32 `(num_queries, k)`, and rows, int64. Missing ones are -inf, -1.

        The scores of a query are in descending order.
        """
        self._merge()
        return self._scores, self._rows

    def _merge(self) -> None:
        queries, columns = np.nonzero(self._rows >= 0)
        known = queries, self._scores[queries, columns], self._rows[queries, columns]
        parts = zip(known, *self._pending, strict=True)
        queries, scores, rows = (np.concatenate(part) for part in parts)
        self._pending, self._num_pending = [], 0
        # The sort is stable, and of each query, the earlier rows come first.
        order = np.lexsort((-scores, queries))
        queries, scores, rows = queries[order], scores[order], rows[order]
        places = np.arange(len(queries)) - np.searchsorted(queries, queries)
        best = places < self._k
        self._scores[queries[best], places[best]] = scores[best]
        self._rows[queries[best], places[best]] = rows[best]
