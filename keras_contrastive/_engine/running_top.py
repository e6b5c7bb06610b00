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
        # Later candidates. They are copied here, since small arrays that live long would fragment
        # the memory between the tiles.
        size = num_queries * k
        self._later = np.empty(size, "int64"), np.empty(size, "float32"), np.empty(size, "int64")
        self._num_later = 0

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
        # In two dimensions, `np.nonzero` takes longer than the product of the tile.
        queries, columns = np.divmod(np.flatnonzero(is_better), num_rows)
        found = queries, scores[queries, columns], first_row + columns
        end = self._num_later + len(queries)
        if end > len(self._later[0]):
            self._merge(found)
            return
        for buffer, part in zip(self._later, found, strict=True):
            buffer[self._num_later : end] = part
        self._num_later = end

    def result(self) -> tuple[Array, Array]:
        """Returns scores, float32 `(num_queries, k)`, and rows, int64. Missing ones are -inf, -1.

        The scores of a query are in descending order.
        """
        self._merge(tuple(buffer[:0] for buffer in self._later))
        return self._scores, self._rows

    def _merge(self, found: tuple[Array, ...]) -> None:
        """Merges the known rows, the later ones and those that are found last."""
        queries, columns = np.nonzero(self._rows >= 0)
        known = queries, self._scores[queries, columns], self._rows[queries, columns]
        later = [buffer[: self._num_later] for buffer in self._later]
        parts = zip(known, later, found, strict=True)
        queries, scores, rows = (np.concatenate(part) for part in parts)
        self._num_later = 0
        # The sort is stable, and of each query, the earlier rows come first.
        order = np.lexsort((-scores, queries))
        queries, scores, rows = queries[order], scores[order], rows[order]
        places = np.arange(len(queries)) - np.searchsorted(queries, queries)
        best = places < self._k
        self._scores[queries[best], places[best]] = scores[best]
        self._rows[queries[best], places[best]] = rows[best]
