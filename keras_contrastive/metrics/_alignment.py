"""Mean distance of positive pairs."""

import itertools

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch, groups_by_id, sum_over_group
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.metrics._pair_metric import PairMetric, rows_that_count


@keras.saving.register_keras_serializable(package="keras_contrastive")
class Alignment(PairMetric):
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
    `(batch,)`. A row with weight zero is in no pair.

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

    def per_anchor(self, batch: Batch, scale: Tensor | None) -> tuple[Tensor, Tensor]:
        views, counts = list(batch.views.values()), rows_that_count(batch)
        if len(views) > 1:
            # The form 2 - 2 <u, v> loses its digits if the views are nearly equal.
            powers = [
                ops.sum(ops.square(a - b), axis=1) ** (self.alpha / 2)
                for a, b in itertools.combinations(views, 2)
            ]
            return ops.stack(powers, axis=1), ops.stack([counts] * len(powers), axis=1)
        if self.alpha != 2:
            raise ValueError(
                "`alpha` must be 2 for one view with labels. "
                f"Received: alpha={self.alpha}. Pass several views for another `alpha`."
            )
        distances, has_positive = _distances_within_groups(
            views[0], groups_by_id(batch.row_ids), ops.cast(counts, "float32")
        )
        return ops.expand_dims(distances, 1), ops.expand_dims(has_positive, 1)

    def get_config(self) -> Config:
        return {**super().get_config(), "alpha": self.alpha}


def _distances_within_groups(rows: Tensor, groups: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the mean squared distance of each row to the others of its group.

    Args:
        rows: Float `(batch, dim)`, zero in rows that do not count.
        groups: Int `(batch,)`.
        counts: Float `(batch,)`, 1 for the rows that count, 0 for the others.

    Returns:
        The distances, and which rows count and have others in their group, bool. Both are
        `(batch,)`.
    """
    size = sum_over_group(counts, groups)
    center = sum_over_group(rows, groups) / ops.expand_dims(ops.maximum(size, 1), 1)
    to_center = ops.sum(ops.square(rows - center), axis=1)
    # Sum of squared distances to all rows of the group, with the distance of 0 to the row itself.
    total = size * to_center + sum_over_group(counts * to_center, groups)
    return total / ops.maximum(size - 1, 1), ops.logical_and(counts > 0, size > 1)
