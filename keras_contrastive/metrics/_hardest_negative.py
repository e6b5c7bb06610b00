"""Mean similarity of the hardest negative."""

import keras
from keras import ops

from keras_contrastive._engine import Batch, nearest_negative
from keras_contrastive._typing import Tensor
from keras_contrastive.metrics._pair_metric import PairMetric, directions_of, rows_that_count


@keras.saving.register_keras_serializable(package="keras_contrastive")
class HardestNegative(PairMetric):
    """Computes the mean over the anchors of the cosine with the most similar negative of the batch.

    The value grows with the batch, so compare only runs with the same batch size. If it stays above
    `PositiveSimilarity`, look for duplicates in the data that have different ids.

    Views and ids are those of the losses. Each view is compared with each other view, and
    candidates with the id of the anchor are not negatives. With a single view and labels, negatives
    are the rows with other labels. The metric costs one pass over the tiles of the similarities,
    and no `(batch, batch)` tensor.

    Args:
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true` and `y_pred` as in `ContrastiveLoss`, `sample_weight`
    `(batch,)`. A row with weight zero is neither an anchor nor a negative.

    Returns:
        A number in [-1, 1]: 1 if all embeddings are equal. Anchors without a negative do not count.
        0 before the first negative. NaN if an embedding is NaN.

    Example:

    >>> metric = HardestNegative()
    >>> views = [keras.ops.eye(2), keras.ops.array([[1.0, 0.0], [0.6, 0.8]])]
    >>> metric.update_state(None, views)
    >>> round(float(metric.result()), 4)  # the mean of 0.6 and 0 in both directions
    0.3
    """

    _direction = "down"

    def __init__(self, name: str = "hardest_negative", dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def per_anchor(self, batch: Batch, scale: Tensor | None) -> tuple[Tensor, Tensor]:
        ids, present = batch.row_ids, batch.complete()
        found = [
            nearest_negative(batch.views[a], batch.views[b], ids, ids, present)
            for a, b in directions_of(batch)
        ]
        values, exists = (ops.stack(parts, axis=1) for parts in zip(*found, strict=True))
        return values, ops.logical_and(exists, ops.expand_dims(rows_that_count(batch), 1))
