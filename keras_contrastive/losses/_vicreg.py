"""VICReg, a loss of the distance, the variances and the covariances of two views."""

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._typing import Config, Reduction, Tensor
from keras_contrastive.losses._batch_statistics import BatchStatistics, Rows, off_diagonal_squares

_EPSILON = 1e-4  # in the standard deviation, Eq. 1 of the paper


@keras.saving.register_keras_serializable(package="keras_contrastive")
class VICReg(BatchStatistics):
    """Computes the VICReg loss: invariance between two views, and variance and covariance in each.

    Embeddings of a row should be close in both views. Each dimension should have a standard
    deviation of at least 1 over the global batch, and dimensions should not be correlated. There
    are no negatives, so ids have no influence. Embeddings are compared as they are, not by their
    cosine.

    Use it as `BarlowTwins`. It has three weights to choose in place of one. The views may have
    different statistics, as those of different modalities have.

    Args:
        invariance_weight: Non-negative float, the weight of the mean squared difference.
        variance_weight: Non-negative float, the weight of `1 - standard deviation` where that is
            positive, a mean over the dimensions of both views.
        covariance_weight: Non-negative float, the weight of the squared covariances, a sum over
            both views, divided by `dim`.
        reduction: See `keras.losses.Loss`. The value of the batch is the loss of each row.
        name: Name of the loss.
        dtype: See `ContrastiveLoss`.

    Call arguments: see `BarlowTwins`.

    Returns:
        Loss of at least 0, without a unit. It is `0.99 * variance_weight` if all embeddings are
        equal, and 0 if fewer than two rows count.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If a weight is negative, or there is one view. See also `ContrastiveLoss`.

    Reference:
        - [Bardes et al., 2022](https://arxiv.org/abs/2105.04906), Eq. 1 to 6. As in the published
          code, the squared difference is a mean over dimensions, and the variance term is a mean
          over the views.

    Example:

    >>> z = keras.ops.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    >>> float(VICReg()(None, (z, z)))  # equal views, no correlation, deviations above 1
    0.0
    >>> round(float(VICReg()(None, (z, z + 1.0))), 3)  # 25 times the squared difference
    25.0
    """

    def __init__(
        self,
        invariance_weight: float = 25.0,
        variance_weight: float = 25.0,
        covariance_weight: float = 1.0,
        *,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.invariance_weight = _checks.non_negative("invariance_weight", invariance_weight)
        self.variance_weight = _checks.non_negative("variance_weight", variance_weight)
        self.covariance_weight = _checks.non_negative("covariance_weight", covariance_weight)

    def of_rows(self, rows: Rows) -> Tensor:
        variance, covariance = zip(
            *(_variance_and_covariance(rows, view) for view in (rows.a, rows.b)), strict=True
        )
        invariance = ops.mean(rows.mean(ops.square(rows.a - rows.b)))
        return (
            self.invariance_weight * invariance
            + self.variance_weight * (variance[0] + variance[1]) / 2
            + self.covariance_weight * (covariance[0] + covariance[1])
        )

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "invariance_weight": self.invariance_weight,
            "variance_weight": self.variance_weight,
            "covariance_weight": self.covariance_weight,
        }


def _variance_and_covariance(rows: Rows, view: Tensor) -> tuple[Tensor, Tensor]:
    centered = rows.centered(view)
    # Where it is 0, the base class drops the value, and its gradient must be finite.
    divisor = ops.maximum(rows.degrees, 1e-6)
    covariances = rows.products(centered, centered) / divisor
    deviations = ops.sqrt(ops.diagonal(covariances) + _EPSILON)
    variance = ops.mean(ops.relu(1.0 - deviations))
    return variance, off_diagonal_squares(covariances) / view.shape[1]
