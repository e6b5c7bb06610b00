"""How close the positives are."""

import itertools

import keras
from keras import ops

from keras_contrastive._engine import groups_by_id, sum_over_group
from keras_contrastive.metrics._view_metric import unit_views


@keras.saving.register_keras_serializable(package="keras_contrastive")
class Alignment(keras.metrics.Mean):
    """Mean distance of positive pairs on the sphere, to the power of `alpha`: how well the views of an item meet.

    Lower is better, but a collapsed model has the best of all: read it together with `Uniformity`. A contrastive
    loss lowers both. With `alpha=1` it is the mean distance of pairs.

    The positives are the views of one row, in all pairs of views. With a single view and labels they are
    the other rows with the row's label, and only `alpha=2` is offered, which needs no pair of rows to be
    looked at: the mean over a row's positives, then over the rows that have any.

    Args:
        alpha: Positive number.
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true`, `y_pred` as in `ContrastiveLoss`, `sample_weight` `(batch,)`.

    Returns:
        A number in [0, 2 ** alpha]: 0 where positives coincide, 2 ** (alpha / 2) where they are orthogonal,
        2 ** alpha where they are opposite. 0 before any pair was seen.

    Raises:
        ValueError: `alpha` is not positive; or one view, and `alpha` is not 2.

    Reference:
        - [Wang & Isola, 2020](https://arxiv.org/abs/2005.10242), Sec. 4.1.

    Example:

    >>> metric = Alignment()
    >>> metric.update_state(None, [keras.ops.array([[1.0, 0.0]]), keras.ops.array([[0.0, 2.0]])])
    >>> float(metric.result())
    2.0
    """

    def __init__(self, alpha=2, name="alignment", dtype=None):
        if (
            isinstance(alpha, bool)
            or not isinstance(alpha, (int, float))
            or not 0 < alpha < float("inf")
        ):
            raise ValueError(f"`alpha` must be a positive number. Received: alpha={alpha!r}.")
        super().__init__(name=name, dtype=dtype)
        self.alpha = alpha

    def update_state(self, y_true, y_pred, sample_weight=None):
        ids, views = unit_views(y_true, y_pred)
        if len(views) > 1:
            pairs = itertools.combinations(views, 2)
            # Not from 2 - 2 <u, v>, which has lost its digits where the views have met.
            powers = [ops.sum(ops.square(a - b), axis=1) ** (self.alpha / 2) for a, b in pairs]
            return super().update_state(ops.mean(ops.stack(powers, axis=1), axis=1), sample_weight)
        if self.alpha != 2:
            raise ValueError(
                "With one view and labels, `Alignment` is there for `alpha=2` only, for which sums over the rows of a "
                f"label are enough. Received: alpha={self.alpha}."
            )
        distances, found = _to_others_of_the_group(views[0], groups_by_id(ids))
        weights = (
            found
            if sample_weight is None
            else found * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        )
        return super().update_state(distances, weights)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype, "alpha": self.alpha}


def _to_others_of_the_group(rows, groups):
    """Mean squared distance of each row to the others of its group, and 1 or 0 for whether there is any."""
    size = sum_over_group(ops.ones_like(rows[:, 0]), groups)
    center = sum_over_group(rows, groups) / ops.expand_dims(size, 1)
    to_center = ops.sum(ops.square(rows - center), axis=1)
    # Over the whole group, itself at 0 included, the mean is the row's square and the group's mean square.
    total = size * to_center + sum_over_group(to_center, groups)
    return total / ops.maximum(size - 1, 1), ops.cast(size > 1, "float32")
