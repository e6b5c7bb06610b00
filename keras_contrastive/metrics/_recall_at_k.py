"""Recall of the positive within the batch."""

import itertools

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch, is_found, nearest_positive, positive_ranks
from keras_contrastive._typing import ArrayLike, Config, Tensor
from keras_contrastive.metrics._view_metric import row_weights_of, unit_batch


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RecallAtK(keras.metrics.Mean):
    """Computes the share of anchors whose positive is among the k nearest candidates of the batch.

    The value grows as the batch shrinks, so compare only runs with the same batch size. To judge a
    model, use `kc.evaluation.RetrievalEvaluation`, which searches a whole corpus.

    Views, ids and positives are those of the losses. Each view is searched from each other view,
    and candidates with the id of the anchor are not negatives. With a single view and labels, the
    positive is the nearest other row with the label of the anchor. The similarity is the cosine.
    Ties count against the positive.

    Args:
        k: Positive integer.
        name: Defaults to `recall_at_{k}`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true` and `y_pred` as in `ContrastiveLoss`, `sample_weight`
    `(batch,)`.

    Returns:
        A number in [0, 1]. It is about k / batch for random embeddings, and 0 if all are equal.
        NaN if an embedding is NaN, also that of a row without a weight.

    Raises:
        TypeError, ValueError: If `k` is not a positive integer.

    Example:

    >>> metric = RecallAtK(1)
    >>> metric.update_state(None, keras.ops.stack([keras.ops.eye(3), keras.ops.eye(3)], axis=1))
    >>> float(metric.result())
    1.0
    """

    _direction = "up"

    def __init__(self, k: int = 1, name: str | None = None, dtype: str | None = None) -> None:
        self.k = _checks.positive_int("k", k)
        super().__init__(name=name or f"recall_at_{self.k}", dtype=dtype)

    def update_state(
        self, y_true: ArrayLike | None, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        batch = Batch.from_targets(y_true, y_pred, across_replicas=False)
        self.update_batch(batch, sample_weight)

    def update_batch(self, batch: Batch, weights: ArrayLike | None = None) -> None:
        """Adds the rows of a batch. See `ViewMetric.update_batch`."""
        ids, views = batch.row_ids, list(unit_batch(batch).views.values())
        row_weights = None if weights is None else row_weights_of(batch, weights)
        if len(views) == 1:
            nearest = nearest_positive(views[0], views[0], ids, ids, exclude_self=True)
            hits = self._hits(views[0], views[0], ids, nearest)
            found = ops.cast(is_found(nearest), "float32")
            if row_weights is not None:
                found *= row_weights
            super().update_state(hits, found)
            return
        hits = [
            self._hits(a, b, ids, ops.sum(a * b, axis=1))
            for a, b in itertools.permutations(views, 2)
        ]
        super().update_state(ops.mean(ops.stack(hits, axis=1), axis=1), row_weights)

    def _hits(self, anchors: Tensor, candidates: Tensor, ids: Tensor, positive: Tensor) -> Tensor:
        ranks = positive_ranks(anchors, candidates, ids, ids, positive)
        hits = ops.cast(ranks < self.k, "float32")
        # A candidate that is NaN has no rank, so neither has any other.
        is_finite = ops.all(ops.isfinite(ops.sum(anchors) + ops.sum(candidates)))
        return ops.where(is_finite, hits, float("nan"))

    def get_config(self) -> Config:
        return {"name": self.name, "dtype": self.dtype, "k": self.k}
