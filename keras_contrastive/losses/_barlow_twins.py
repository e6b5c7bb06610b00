"""BarlowTwins, a loss of the cross-correlation of two views."""

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._typing import Config, Reduction, Tensor
from keras_contrastive.losses._batch_statistics import BatchStatistics, Rows, off_diagonal_squares

_EPSILON = 1e-5  # that of the batch normalization in the published code


@keras.saving.register_keras_serializable(package="keras_contrastive")
class BarlowTwins(BatchStatistics):
    """Computes the Barlow Twins loss, which makes the dimensions of two views agree one by one.

    Each dimension is standardized over the global batch, in each view. The correlation of a
    dimension with itself in the other view should be 1, and with other dimensions 0. There are no
    negatives, so ids have no influence.

    Use it if false negatives harm, such as near-duplicates without ids, and batches are small. It
    needs a projector with many outputs, 8192 in the paper, and a batch of at least about 100 rows
    for the correlations. Its memory grows with `dim` squared, not with the batch. In retrieval,
    `InfoNCE` is the first choice, since it compares rows.

    Args:
        redundancy_weight: Non-negative float, the weight of the correlations of different
            dimensions.
        reduction: See `keras.losses.Loss`. The value of the batch is the loss of each row.
        name: Name of the loss.
        dtype: See `ContrastiveLoss`.

    Call arguments: see `ContrastiveLoss`. `y_pred` has at least two views. `sample_weight` weighs
        rows in the statistics, besides its role in the reduction. Rows that lack a view are left
        out. There are no `hard_negatives`.

    Returns:
        Loss between 0 and about `dim * (4 + redundancy_weight * dim)`, without a unit. It is `dim`
        if all embeddings are equal, and 0 if fewer than two rows count.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `redundancy_weight` is negative, or there is one view. See also
            `ContrastiveLoss`.

    Reference:
        - [Zbontar et al., 2021](https://arxiv.org/abs/2103.03230), Eq. 1 and 2.

    Example:

    >>> a = keras.ops.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    >>> b = a * keras.ops.array([3.0, -1.0])  # the second dimension is negated: (1 + 1) ** 2
    >>> round(float(BarlowTwins()(None, (a, b))), 3)
    4.0
    """

    def __init__(
        self,
        redundancy_weight: float = 0.005,
        *,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.redundancy_weight = _checks.non_negative("redundancy_weight", redundancy_weight)

    def of_rows(self, rows: Rows) -> Tensor:
        a, b = (_standardized(rows, view) for view in (rows.a, rows.b))
        correlations = rows.products(a, b)
        agreement = ops.sum(ops.square(1.0 - ops.diagonal(correlations)))
        return agreement + self.redundancy_weight * off_diagonal_squares(correlations)

    def get_config(self) -> Config:
        return {**super().get_config(), "redundancy_weight": self.redundancy_weight}


def _standardized(rows: Rows, view: Tensor) -> Tensor:
    centered = rows.centered(view)
    return centered * ops.rsqrt(rows.mean(ops.square(centered)) + _EPSILON)
