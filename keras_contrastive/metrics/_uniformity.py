"""Uniformity of the embeddings on the sphere."""

import math

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch, groups_by_id, log_gaussian_potential, sum_over_group
from keras_contrastive._typing import Config, Shape, Tensor
from keras_contrastive.metrics._view_metric import ViewMetric, mean_or_zero

_LARGEST = 20  # exp(-4 * 20) is a normal number in float32.


@keras.saving.register_keras_serializable(package="keras_contrastive")
class Uniformity(ViewMetric):
    """Computes the log of the mean of exp(-t |u - v|²) over pairs of different items.

    Lower is better: the embeddings are spread more evenly over the sphere, so they distinguish more
    items. Read it together with `Alignment`, which has the opposite optimum.

    A pair consists of two rows of one view in one batch with different ids (or labels). The mean is
    taken over all batches since `reset_state`, then its log, then the mean over views. Unlike
    recall, its expectation does not depend on the batch size, but few rows make few pairs and a
    noisy value. A batch costs one pass over the tiles of its similarities, and no `(batch, batch)`
    tensor.

    Args:
        t: Number in (0, 20], the inverse squared width of the kernel.
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true` and `y_pred` as in `ContrastiveLoss`, `sample_weight`
    `(batch,)`. The weight of a pair is the mean weight of its two rows. A row with weight zero is
    in no pair.

    Returns:
        A number in [-4 t, 0]: 0 if all rows are equal, -2 t if all are orthogonal, -4 t for two
        opposite rows. Rows that are spread over the sphere of a high dimension have about -2 t,
        which is -4 by default. A row of zeros has the distance 0 to another one, and 1 to a row of
        length 1. 0 before the first pair. A batch of one row has no pairs. NaN if an embedding is
        NaN.

    Raises:
        TypeError: If `t` is not a number.
        ValueError: If `t` is out of range, or the number or the dimension of the views changes.

    Reference:
        - [Wang & Isola, 2020](https://arxiv.org/abs/2005.10242), Sec. 4.1. The mean over views is
          that of their code.

    Example:

    >>> metric = Uniformity(t=2)
    >>> metric.update_state(None, [keras.ops.eye(4), keras.ops.ones((4, 4))])
    >>> round(float(metric.result()), 4)  # -4 of orthogonal rows and 0 of equal rows
    -2.0
    """

    _direction = "down"

    def __init__(self, t: float = 2, name: str = "uniformity", dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.t = _checks.real("t", t, 0, _LARGEST, include_low=False)

    def sum_shapes(self, num_views: int, dim: int) -> dict[str, Shape]:
        return {"potentials": (num_views,), "pairs": ()}

    def batch_sums(self, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        ids, present = batch.row_ids, weights > 0
        counted = ops.cast(present, "float32")
        others = ops.sum(counted) - sum_over_group(counted, groups_by_id(ids))
        # The log-potential of a row without others is very low, so its potential is zero.
        potentials = [
            ops.exp(log_gaussian_potential(view, self.t, ids, present))
            for view in batch.views.values()
        ]
        return {
            "potentials": ops.stack([ops.sum(weights * potential) for potential in potentials]),
            "pairs": ops.sum(weights * others),
        }

    def value(self, sums: dict[str, Tensor]) -> Tensor:
        # Rounding may move the mean out of its range.
        mean = ops.clip(mean_or_zero(sums["potentials"], sums["pairs"]), math.exp(-4 * self.t), 1.0)
        return ops.where(sums["pairs"] > 0, ops.mean(ops.log(mean)), 0.0)

    def get_config(self) -> Config:
        return {**super().get_config(), "t": self.t}
