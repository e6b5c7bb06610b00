"""How evenly the embeddings fill the sphere."""

import math

import keras
from keras import ops

from keras_contrastive._engine import groups_by_id, log_gaussian_potential, sum_over_group
from keras_contrastive.metrics._view_metric import ViewMetric, over

_LARGEST = 20  # exp(-4 * 20) is still a number in float32


@keras.saving.register_keras_serializable(package="keras_contrastive")
class Uniformity(ViewMetric):
    """Log of the mean of exp(-t |u - v|²) over pairs of different items: how crowded the sphere is.

    Lower is better: the embeddings keep more of what tells items apart. Read it together with `Alignment`, which
    pulls the other way.

    Pairs are of two rows of one view in one batch, never with the same id (or label), nor of a row with itself. Their
    mean is taken over all batches since `reset_state`, then its log, then the mean over views. Unlike
    recall, its expectation does not depend on the batch size, but few rows make few pairs, and noise. A batch costs one
    pass over the tiles of its similarities, and no `(batch, batch)` tensor.

    Args:
        t: Number in (0, 20], the inverse squared width of the kernel.
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true`, `y_pred` as in `ContrastiveLoss`, `sample_weight` `(batch,)`. It
    weighs anchors: a pair counts by the mean weight of its two rows, and a row without weight is in no pair.

    Returns:
        A number in [-4 t, 0]: 0 where all rows coincide, -2 t where all are orthogonal, about that (-4 for the default)
        where they are spread over the sphere of a high dimension, -4 t for two opposite rows.
        0 before any pair was seen; a batch of one row has none.

    Raises:
        ValueError: `t` is out of range, or the views have another number or dimension than before.

    Reference:
        - [Wang & Isola, 2020](https://arxiv.org/abs/2005.10242), Sec. 4.1; the mean over views is that of their code.

    Example:

    >>> metric = Uniformity(t=2)
    >>> metric.update_state(None, [keras.ops.eye(4), keras.ops.ones((4, 4))])
    >>> round(float(metric.result()), 4)  # -4 of orthogonal rows and 0 of rows that coincide
    -2.0
    """

    def __init__(self, t=2, name="uniformity", dtype=None):
        if isinstance(t, bool) or not isinstance(t, (int, float)) or not 0 < t <= _LARGEST:
            raise ValueError(f"`t` must be a number in (0, {_LARGEST}]. Received: t={t!r}.")
        super().__init__(name=name, dtype=dtype)
        self.t = t

    def sum_shapes(self, num_views, dim):
        return {"potentials": (num_views,), "pairs": ()}

    def sums_of(self, ids, views, weights):
        if ids is None:
            ids = ops.arange(ops.shape(views[0])[0], dtype="int32")
        present = weights > 0
        counted = ops.cast(present, "float32")
        others = ops.sum(counted) - sum_over_group(counted, groups_by_id(ids))
        # Where there are no others, the potential is exp of something very low: zero.
        potentials = [ops.exp(log_gaussian_potential(view, self.t, ids, present)) for view in views]
        return {
            "potentials": ops.stack([ops.sum(weights * potential) for potential in potentials]),
            "pairs": ops.sum(weights * others),
        }

    def value(self, sums):
        # Rounding may carry the mean beyond what it can be.
        mean = ops.clip(over(sums["potentials"], sums["pairs"]), math.exp(-4 * self.t), 1.0)
        return ops.where(sums["pairs"] > 0, ops.mean(ops.log(mean)), 0.0)

    def get_config(self):
        return {**super().get_config(), "t": self.t}
