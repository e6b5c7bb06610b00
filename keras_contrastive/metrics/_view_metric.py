"""What measures of views have in common: unit rows, and sums over a whole pass."""

import keras
from keras import ops

from keras_contrastive._engine import as_views, normalize


def unit_views(y_true, y_pred):
    """The ids, or `None`, and the views of the data contract, normalized in float32, without a gradient."""
    ids, views = as_views(y_true, y_pred)
    return ids, [normalize(ops.cast(ops.stop_gradient(view), "float32")) for view in views]


class ViewMetric(keras.metrics.Metric):
    """A measure computed from sums over all rows since the last `reset_state`, whatever the batches.

    A subclass says which sums (`sum_shapes`), what a batch adds to them (`sums_of`) and what they mean (`value`).
    As the shapes depend on the views, the state is created by `build`, or by the first update. Sums are all
    that there is, so that those of several devices can be added.

    Args:
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result. Sums are float32.
    """

    min_views = 1

    def __init__(self, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.built = False

    def build(self, shape):
        """Create the state for views of the shape `(batch, views, dim)`.

        Call it before `fit` where a distribution strategy needs all variables before the first step.
        """
        _, num_views, dim = shape
        self._shape = (num_views, dim)
        self._sums = {
            name: self.add_variable(shape, "zeros", dtype="float32", name=name)
            for name, shape in self.sum_shapes(num_views, dim).items()
        }
        self.built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        ids, views = unit_views(y_true, y_pred)
        if len(views) < self.min_views:
            raise ValueError(
                f"`{type(self).__name__}` compares views and needs at least {self.min_views}. Received: {len(views)}. "
                "Pass target embeddings as `y_true`, or several views as `y_pred`."
            )
        shape = (len(views), views[0].shape[-1])
        if not self.built:
            self.build((None, *shape))
        if shape != self._shape:
            raise ValueError(
                "A metric measures views of one number and dimension. "
                f"Received: (views, dim)={shape} after (views, dim)={self._shape}. Use one metric for each."
            )
        weights = ops.ones_like(views[0][:, 0])
        if sample_weight is not None:
            weights *= ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        for name, new in self.sums_of(ids, views, weights).items():
            self._sums[name].assign_add(new)  # which replicas add up

    def result(self):
        if not self.built:
            return ops.zeros((), self.dtype)
        sums = {name: ops.convert_to_tensor(variable) for name, variable in self._sums.items()}
        return ops.cast(self.value(sums), self.dtype)

    def sum_shapes(self, num_views, dim):
        """Shapes of the sums, by name."""
        raise NotImplementedError

    def sums_of(self, ids, views, weights):
        """What a batch adds to the sums, by name."""
        raise NotImplementedError

    def value(self, sums):
        """The measure, a scalar, of the sums by name; a finite one where nothing was summed."""
        raise NotImplementedError


def weighted_sum(rows, weights):
    """Sum over the rows of each view, from `(batch, views, dim)` and `(batch,)`."""
    return ops.einsum("nvd,n->vd", rows, weights)


def over(total, weight):
    """The mean, or zero where nothing was summed."""
    return total / ops.where(weight > 0, weight, 1.0)
