"""Mean distance of positive pairs."""

import itertools

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch, groups_by_id, sum_over_group
from keras_contrastive._typing import ArrayLike, Config, Tensor
from keras_contrastive.metrics._view_metric import row_weights_of, unit_batch


@keras.saving.register_keras_serializable(package="keras_contrastive")
class Alignment(keras.metrics.Mean):
    """Computes the mean distance of positive pairs on the unit sphere, to the power of `alpha`.

    Lower is better, but a collapsed model has the lowest value: read it together with `Uniformity`.
    A contrastive loss lowers both. With `alpha=1` it is the mean distance of pairs.

    Positives are the views of one row, in all pairs of views. With a single view and labels, they
    are the other rows with the label of the row. The value is then the mean over the positives of a
    row, and over the rows that have any. This case supports `alpha=2` only, which needs no pairs of
    rows.

    Args:
        alpha: Positive number.
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true` and `y_pred` as in `ContrastiveLoss`, `sample_weight`
    `(batch,)`.

    Returns:
        A number in [0, 2 ** alpha]: 0 if positives are equal, 2 ** (alpha / 2) if they are
        orthogonal, 2 ** alpha if they are opposite. 0 before the first pair. NaN if an embedding is
        NaN.

    Raises:
        TypeError: If `alpha` is not a number.
        ValueError: If `alpha` is not positive, or there is one view and `alpha` is not 2.

    Reference:
        - [Wang & Isola, 2020](https://arxiv.org/abs/2005.10242), Sec. 4.1.

    Example:

    >>> metric = Alignment()
    >>> metric.update_state(None, [keras.ops.array([[1.0, 0.0]]), keras.ops.array([[0.0, 2.0]])])
    >>> float(metric.result())
    2.0
    """

    _direction = "down"

    def __init__(self, alpha: float = 2, name: str = "alignment", dtype: str | None = None) -> None:
        _checks.positive("alpha", alpha)
        super().__init__(name=name, dtype=dtype)
        self.alpha = alpha if isinstance(alpha, int) else float(alpha)

    def update_state(
        self, y_true: ArrayLike | None, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        batch = Batch.from_targets(y_true, y_pred, across_replicas=False)
        self.update_batch(batch, sample_weight)

    def update_batch(self, batch: Batch, weights: ArrayLike | None = None) -> None:
        """Adds the rows of a batch. See `ViewMetric.update_batch`."""
        views = list(unit_batch(batch).views.values())
        row_weights = None if weights is None else row_weights_of(batch, weights)
        if len(views) > 1:
            # The form 2 - 2 <u, v> loses its digits if the views are nearly equal.
            powers = [
                ops.sum(ops.square(a - b), axis=1) ** (self.alpha / 2)
                for a, b in itertools.combinations(views, 2)
            ]
            self._add(ops.mean(ops.stack(powers, axis=1), axis=1), row_weights)
            return
        if self.alpha != 2:
            raise ValueError(
                "`alpha` must be 2 for one view with labels. "
                f"Received: alpha={self.alpha}. Pass several views for another `alpha`."
            )
        distances, has_positive = _distances_within_groups(views[0], groups_by_id(batch.row_ids))
        weighted = has_positive if row_weights is None else has_positive * row_weights
        self._add(distances, weighted)

    def _add(self, distances: Tensor, weights: Tensor | None) -> None:
        if weights is not None:  # not even NaN counts without a weight
            distances = ops.where(weights != 0, distances, ops.zeros_like(distances))
        super().update_state(distances, weights)

    def get_config(self) -> Config:
        return {"name": self.name, "dtype": self.dtype, "alpha": self.alpha}


def _distances_within_groups(rows: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the mean squared distance of each row to the others of its group.

    The second result is 1 for rows with others in their group, and 0 for the rest, float32
    `(batch,)`.
    """
    size = sum_over_group(ops.ones_like(rows[:, 0]), groups)
    center = sum_over_group(rows, groups) / ops.expand_dims(size, 1)
    to_center = ops.sum(ops.square(rows - center), axis=1)
    # Sum of squared distances to all rows of the group, with the distance of 0 to the row itself.
    total = size * to_center + sum_over_group(to_center, groups)
    return total / ops.maximum(size - 1, 1), ops.cast(size > 1, "float32")
