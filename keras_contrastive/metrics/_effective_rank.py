"""The number of directions that the embeddings use."""

from typing import Literal

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch
from keras_contrastive._typing import Config, Shape, Tensor
from keras_contrastive.metrics._view_metric import ViewMetric, mean_or_zero


@keras.saving.register_keras_serializable(package="keras_contrastive")
class EffectiveRank(ViewMetric):
    """Computes the number of directions that the embeddings use, to detect dimensional collapse.

    Let p be the spectrum of the second moments of the normalized embeddings, over all rows since
    `reset_state`, scaled to sum to 1. The metric is

    * `order=2`: 1 / sum p², the participation ratio. It needs no decomposition, and its cost is
      negligible.
    * `order=1`: exp(-sum p log p), the effective rank of Roy & Vetterli. It is more sensitive to
      weak directions, and never smaller. Keras computes the result after each step. Each time, this
      order decomposes a `(dim, dim)` matrix per view, which takes about 0.1 s for dim 1024 on one
      CPU core.

    The mean over views is reported. The moments are not centered, so embeddings that collapse to a
    point have the value 1, with any noise around the point. The metric is the Vendi score of this
    order of the rows under cosine similarity. RankMe uses the singular values of the embeddings
    instead, which are the roots of p, and is larger. Float32 sums do not resolve its weak
    directions.

    The state is `views * dim * dim` numbers. A pass over n rows has at most the value n, so use
    several times dim rows.

    Args:
        order: 2 or 1, the order of the Rényi entropy whose exponential is computed.
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true` and `y_pred` as in `ContrastiveLoss`, `sample_weight`
    `(batch,)`.

    Returns:
        A number in [1, dim]: 1 if all rows are equal (or opposite), dim if they are spread evenly
        over the sphere. 0 before the first row, or if all rows are zero. NaN if an embedding is
        NaN.

    Raises:
        ValueError: If `order` is neither 1 nor 2, or the number or the dimension of the views
            changes.

    Reference:
        - [Roy & Vetterli, 2007](https://infoscience.epfl.ch/record/110188), the effective rank.
        - [Garrido et al., 2023](https://arxiv.org/abs/2210.02885), RankMe.
        - [Pasarkar & Dieng, 2023](https://arxiv.org/abs/2310.12952), Vendi scores of all orders.

    Example:

    >>> metric = EffectiveRank()
    >>> metric.update_state(None, [keras.ops.eye(4), keras.ops.ones((4, 4))])
    >>> round(float(metric.result()), 4)  # 4 directions and 1
    2.5
    """

    _direction = "up"

    def __init__(
        self, order: Literal[1, 2] = 2, name: str = "effective_rank", dtype: str | None = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        number: int = int(order) if _checks.is_integer(order) else order  # of NumPy or of Python
        self.order = _checks.one_of("order", number, (1, 2))

    def sum_shapes(self, num_views: int, dim: int) -> dict[str, Shape]:
        return {"moments": (num_views, dim, dim)}

    def batch_sums(self, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        weights = ops.expand_dims(weights, 1)
        moments = [ops.matmul(ops.transpose(view * weights), view) for view in batch.views.values()]
        return {"moments": ops.stack(moments)}

    def value(self, sums: dict[str, Tensor]) -> Tensor:
        trace = ops.trace(sums["moments"], axis1=1, axis2=2)
        # A decomposition of NaN raises on PyTorch.
        is_finite = ops.isfinite(trace)
        moments = ops.where(ops.reshape(is_finite, (-1, 1, 1)), sums["moments"], 0.0)
        moments = mean_or_zero(moments, ops.reshape(trace, (-1, 1, 1)))
        ranks = (
            1 / self._sum_of_squares(moments) if self.order == 2 else self._exp_of_entropy(moments)
        )
        ranks = ops.where(trace > 0, ranks, 0.0)
        return ops.mean(ops.where(is_finite, ranks, float("nan")))

    @staticmethod
    def _sum_of_squares(moments: Tensor) -> Tensor:
        return ops.maximum(ops.sum(ops.square(moments), axis=(1, 2)), 1e-12)

    @staticmethod
    def _exp_of_entropy(moments: Tensor) -> Tensor:
        spectrum = ops.maximum(ops.eigh(moments)[0], 0.0)
        return ops.exp(-ops.sum(spectrum * ops.log(ops.maximum(spectrum, 1e-30)), axis=1))

    def get_config(self) -> Config:
        return {**super().get_config(), "order": self.order}
