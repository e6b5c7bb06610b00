"""Numbers of negatives and positives of each anchor."""

from collections.abc import Callable, Mapping, Sequence

from keras import ops

from keras_contrastive._engine.batch import Batch
from keras_contrastive._engine.cached import LocklessCachedProperty
from keras_contrastive._engine.candidates import MISSING_ID, Candidates, exists
from keras_contrastive._engine.groups import count_equal
from keras_contrastive._typing import Tensor


class PairCounts:
    """Counts the candidates of each anchor, from ids and presence alone.

    Args:
        batch: A `Batch`.
        directions: Pairs of names, the view of the anchors and that of the candidates.
        candidate_views: Maps a direction to the views whose rows are candidates.
        extra: Further candidates of each view.
        single: Whether the batch has a single view, whose positives have the anchor's id.
    """

    def __init__(
        self,
        batch: Batch,
        directions: Sequence[tuple[str, str]],
        candidate_views: Callable[[tuple[str, str]], Sequence[str]],
        extra: Mapping[str, Sequence[Candidates]],
        single: bool,
    ) -> None:
        self._batch = batch
        self._directions = directions
        self._candidate_views = candidate_views
        self._extra = extra
        self._single = single
        self._global_present = {name: batch.gather(mask) for name, mask in batch.present.items()}

    @LocklessCachedProperty
    def num_negatives(self) -> Tensor:
        """Number of negatives of each anchor, as float `(batch, directions)`."""
        return self._count(
            lambda view: self._num_rows(view) - self._num_same(view),
            lambda extra: ops.sum(ops.cast(exists(extra), "int32")) - self._num_same_among(extra),
        )

    @LocklessCachedProperty
    def num_positives(self) -> Tensor:
        """Number of positives of each anchor of a single view, as float `(batch, 1)`."""
        return self._count(
            lambda view: self._num_same(view) - 1,
            lambda extra: self._num_same_among(extra) * int(not extra.only_negatives),
        )

    @LocklessCachedProperty
    def complete(self) -> Tensor | None:
        """Whether each anchor and its row in the other view are present, or `None` if all are.

        The shape is `(batch, directions)`.
        """
        if not self._batch.present:
            return None
        all_true = ops.ones_like(self._batch.rows) > 0
        present = {name: self._batch.present.get(name, all_true) for name in self._batch.names}
        return ops.stack(
            [ops.logical_and(present[a], present[b]) for a, b in self._directions], axis=1
        )

    @LocklessCachedProperty
    def valid(self) -> Tensor:
        """Whether each anchor has a positive and a negative, bool `(batch, directions)`."""
        valid = self.num_negatives > 0
        if self._single:
            valid = ops.logical_and(valid, self.num_positives > 0)
        return valid if self.complete is None else ops.logical_and(valid, self.complete)

    @property
    def known_valid(self) -> bool:
        """Whether shapes alone show that each anchor has a positive and a negative."""
        batch = self._batch
        num_rows = next(iter(batch.views.values())).shape[0] or 0
        return num_rows > 1 and batch.ids is None and not batch.present and not self._single

    def _count(
        self,
        among_rows: Callable[[str], Tensor | int],
        among_extra: Callable[[Candidates], Tensor | int],
    ) -> Tensor:
        columns = []
        for direction in self._directions:
            views = self._candidate_views(direction)
            counts = [among_rows(view) for view in views]
            counts += [among_extra(extra) for view in views for extra in self._extra[view]]
            columns.append(sum(counts) + ops.zeros_like(self._batch.rows))
        dtype = next(iter(self._batch.views.values())).dtype
        return ops.cast(ops.stack(columns, axis=1), dtype)

    def _num_rows(self, view: str) -> Tensor | int:
        present = self._global_present.get(view)
        if present is None:
            return ops.shape(self._batch.gather(self._batch.rows))[0]
        return ops.sum(ops.cast(present, "int32"))

    def _num_same(self, view: str) -> Tensor | int:
        """Number of rows of a view with the id of each row, the row itself included."""
        if self._batch.ids is None:
            present = self._batch.present.get(view)
            return 1 if present is None else ops.cast(present, "int32")
        present = self._global_present.get(view)
        return self._num_equal_ids if present is None else self._count_equal_ids(present)

    @LocklessCachedProperty
    def _num_equal_ids(self) -> Tensor:
        return count_equal(self._batch.ids, self._batch.gather(self._batch.ids))

    def _count_equal_ids(self, present: Tensor) -> Tensor:
        ids = self._batch.gather(self._batch.ids)
        return count_equal(self._batch.ids, ops.where(present, ids, ops.full_like(ids, MISSING_ID)))

    def _num_same_among(self, extra: Candidates) -> Tensor | int:
        if self._batch.ids is None or extra.ids is None:
            return 0
        return count_equal(self._batch.ids, extra.ids)
