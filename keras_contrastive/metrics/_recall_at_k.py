"""Recall of the positive within the batch."""

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch, is_found, nearest_positive, positive_ranks
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.metrics._pair_metric import PairMetric, directions_of, rows_that_count


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RecallAtK(PairMetric):
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
    `(batch,)`. A row with weight zero is neither an anchor nor a candidate.

    Returns:
        A number in [0, 1]. It is about k / batch for random embeddings, and 0 if all are equal.
        NaN if an embedding is NaN.

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

    def per_anchor(self, batch: Batch, scale: Tensor | None) -> tuple[Tensor, Tensor]:
        ids, present = batch.row_ids, batch.complete()
        # With several views, the positive is the same row. Its similarity comes from the products
        # that the candidates have, so that equal rows are ties at any precision.
        is_single = len(batch.views) == 1
        positives = ids if is_single else batch.rows
        hits, found = [], []
        for a, b in directions_of(batch):
            anchors, candidates = batch.views[a], batch.views[b]
            nearest = nearest_positive(
                anchors, candidates, positives, positives, exclude_self=is_single, present=present
            )
            ranks = positive_ranks(anchors, candidates, ids, ids, nearest, present)
            hits.append(ops.cast(ranks < self.k, "float32"))
            found.append(ops.logical_and(is_found(nearest), rows_that_count(batch)))
        return ops.stack(hits, axis=1), ops.stack(found, axis=1)

    def get_config(self) -> Config:
        return {**super().get_config(), "k": self.k}
