"""Standard deviation of the embeddings."""

import keras
from keras import ops

from keras_contrastive._engine import Batch
from keras_contrastive._typing import Shape, Tensor
from keras_contrastive.metrics._view_metric import ViewMetric, mean_or_zero, weighted_sum


@keras.saving.register_keras_serializable(package="keras_contrastive")
class EmbeddingStd(ViewMetric):
    """Computes the standard deviation of the normalized embeddings, to detect collapse to a point.

    It is the standard deviation of each dimension over all rows since `reset_state`, averaged over
    dimensions and views, times sqrt(dim). Chen & He report values near 1 / sqrt(dim). This metric
    is near 1 in any dimension. It falls toward 0 within a few steps if a model collapses. It does
    not detect collapse to a few directions around the origin; `EffectiveRank` does.

    Args:
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true` and `y_pred` as in `ContrastiveLoss`, `sample_weight`
    `(batch,)`.

    Returns:
        A number in [0, 1]: 1 if the embeddings are spread evenly over the sphere, 0 if they are
        equal. Rounding of the float32 sums adds up to 0.01. 0 before the first row. NaN if an
        embedding is NaN.

    Raises:
        ValueError: If the number or the dimension of the views changes.

    Reference:
        - [Chen & He, 2021](https://arxiv.org/abs/2011.10566), Sec. 4.1 and Fig. 2, without the
          factor sqrt(dim).

    Example:

    >>> metric = EmbeddingStd()
    >>> view = keras.ops.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> metric.update_state(None, [view, view])
    >>> round(float(metric.result()), 4)
    1.0
    """

    _direction = "up"

    def __init__(self, name: str = "embedding_std", dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def sum_shapes(self, num_views: int, dim: int) -> dict[str, Shape]:
        return {"rows": (num_views, dim), "squares": (num_views, dim), "weight": ()}

    def batch_sums(self, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        rows = ops.stack(list(batch.views.values()), axis=1)
        return {
            "rows": weighted_sum(rows, weights),
            "squares": weighted_sum(ops.square(rows), weights),
            "weight": ops.sum(weights),
        }

    def value(self, sums: dict[str, Tensor]) -> Tensor:
        center, squares = (mean_or_zero(sums[name], sums["weight"]) for name in ("rows", "squares"))
        variance = squares - ops.square(center)
        return ops.mean(ops.sqrt(ops.maximum(variance, 0.0))) * center.shape[1] ** 0.5
