"""Mean similarity of positive pairs."""

import keras
from keras import ops

from keras_contrastive._engine import Batch, groups_by_id, sum_over_group
from keras_contrastive._typing import Tensor
from keras_contrastive.metrics._pair_metric import PairMetric, directions_of, rows_that_count


@keras.saving.register_keras_serializable(package="keras_contrastive")
class PositiveSimilarity(PairMetric):
    """Computes the mean cosine of positive pairs.

    Read it together with `HardestNegative`: a loss falls if the first rises above the second. In a
    collapsed model, both are equal. Divided by the temperature, they are logits.

    Positives are the views of one row, in all pairs of views. With a single view and labels, they
    are the other rows with the label of the row. The value is then the mean over the positives of a
    row, and over the rows that have any.

    Args:
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true` and `y_pred` as in `ContrastiveLoss`, `sample_weight`
    `(batch,)`. A row with weight zero is in no pair.

    Returns:
        A number in [-1, 1]. 0 before the first pair. NaN if an embedding is NaN.

    Example:

    >>> metric = PositiveSimilarity()
    >>> metric.update_state(None, [keras.ops.array([[1.0, 0.0]]), keras.ops.array([[3.0, 4.0]])])
    >>> round(float(metric.result()), 4)
    0.6
    """

    _direction = "up"

    def __init__(self, name: str = "positive_similarity", dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def per_anchor(self, batch: Batch, scale: Tensor | None) -> tuple[Tensor, Tensor]:
        views, counts = batch.views, ops.expand_dims(rows_that_count(batch), 1)
        if len(views) > 1:
            cosines = [ops.sum(views[a] * views[b], axis=1) for a, b in directions_of(batch)]
            return ops.stack(cosines, axis=1), ops.concatenate([counts] * len(cosines), axis=1)
        (rows,) = views.values()
        groups = groups_by_id(batch.row_ids)
        # Rows without a weight are zero, so they add nothing to the sum.
        sums = ops.sum(rows * (sum_over_group(rows, groups) - rows), axis=1, keepdims=True)
        size = sum_over_group(ops.cast(counts, "float32"), groups)
        return sums / ops.maximum(size - 1, 1), ops.logical_and(counts, size > 1)
