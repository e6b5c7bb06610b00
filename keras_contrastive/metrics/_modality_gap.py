"""Distance between the centers of two modalities."""

import itertools

import keras
from keras import ops

from keras_contrastive._engine import Batch
from keras_contrastive._typing import Shape, Tensor
from keras_contrastive.metrics._view_metric import ViewMetric, mean_or_zero, weighted_sum


@keras.saving.register_keras_serializable(package="keras_contrastive")
class ModalityGap(ViewMetric):
    """Computes the distance between the centers of two views, such as image and text.

    Untrained towers map their inputs to different narrow cones. In CLIP-like models the gap stays
    open after training, although retrieval works. The center of a view is the mean of its
    normalized embeddings over all rows since `reset_state`, so the value of `evaluate` does not
    depend on the batch size. With more than two views, it is the mean over all pairs of views.

    For the mean distance of matching pairs, which is sometimes called the gap too, use
    `Alignment(alpha=1)`.

    Args:
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true` and `y_pred` as in `ContrastiveLoss`, `sample_weight`
    `(batch,)`, the weights of the rows in the centers.

    Returns:
        A number in [0, 2]: 0 if the centers are equal, as for views that are spread evenly; 2 if
        each view has collapsed to a point opposite to the other view. 0 before the first row. NaN
        if an embedding is NaN.

    Raises:
        ValueError: If there is only one view, or the number or the dimension of the views changes.

    Reference:
        - [Liang et al., 2022](https://arxiv.org/abs/2203.02053), Sec. 4.2. There it is a vector;
          this is its length.

    Example:

    >>> metric = ModalityGap()
    >>> image = keras.ops.array([[3.0, 4.0], [3.0, -4.0]])
    >>> text = keras.ops.array([[0.0, 1.0], [0.0, -1.0]])
    >>> metric.update_state(None, [image, text])
    >>> round(float(metric.result()), 4)  # from (0.6, 0) to (0, 0)
    0.6
    """

    min_views = 2
    _direction = "down"

    def __init__(self, name: str = "modality_gap", dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def sum_shapes(self, num_views: int, dim: int) -> dict[str, Shape]:
        return {"rows": (num_views, dim), "weight": ()}

    def batch_sums(self, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        rows = ops.stack(list(batch.views.values()), axis=1)
        return {"rows": weighted_sum(rows, weights), "weight": ops.sum(weights)}

    def value(self, sums: dict[str, Tensor]) -> Tensor:
        centers = ops.unstack(mean_or_zero(sums["rows"], sums["weight"]), axis=0)
        gaps = [ops.norm(a - b) for a, b in itertools.combinations(centers, 2)]
        return ops.mean(ops.stack(gaps))
