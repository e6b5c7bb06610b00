"""Whether the embeddings still differ from each other."""

import keras
from keras import ops

from keras_contrastive.metrics._view_metric import ViewMetric, over, weighted_sum


@keras.saving.register_keras_serializable(package="keras_contrastive")
class EmbeddingStd(ViewMetric):
    """Standard deviation of the normalized embeddings: a watch on collapse to a point.

    The standard deviation of each dimension over all rows since `reset_state`, then its mean over the dimensions and
    over the views, times sqrt(dim): where Chen & He report values near 1 / sqrt(dim), this one is near 1 in any
    dimension. A model that collapses falls toward 0 within a few steps. It does not see a collapse to a few directions
    that lie around the origin: `EffectiveRank` does.

    Args:
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true`, `y_pred` as in `ContrastiveLoss`, `sample_weight` `(batch,)`.

    Returns:
        A number in [0, 1]: 1 where the embeddings are spread evenly over the sphere, 0 where they coincide (below
        0.01, that is: the sums are float32). 0 before any row was seen.

    Raises:
        ValueError: The views have another number or dimension than before.

    Reference:
        - [Chen & He, 2021](https://arxiv.org/abs/2011.10566), Sec. 4.1 and Fig. 2, without the factor sqrt(dim).

    Example:

    >>> metric = EmbeddingStd()
    >>> metric.update_state(None, [keras.ops.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])] * 2)
    >>> round(float(metric.result()), 4)
    1.0
    """

    def __init__(self, name="embedding_std", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def sum_shapes(self, num_views, dim):
        return {"rows": (num_views, dim), "squares": (num_views, dim), "weight": ()}

    def sums_of(self, ids, views, weights):
        rows = ops.stack(views, axis=1)
        return {
            "rows": weighted_sum(rows, weights),
            "squares": weighted_sum(ops.square(rows), weights),
            "weight": ops.sum(weights),
        }

    def value(self, sums):
        center, squares = (over(sums[name], sums["weight"]) for name in ("rows", "squares"))
        variance = squares - ops.square(center)
        return ops.mean(ops.sqrt(ops.maximum(variance, 0.0))) * center.shape[1] ** 0.5
