"""Base class of metrics that are computed from sums over all rows of a pass."""

from typing import ClassVar

import keras
from keras import ops

from keras_contrastive._engine import Batch, as_weights, check_has_rows
from keras_contrastive._typing import ArrayLike, Shape, Tensor


class ViewMetric(keras.metrics.Metric):
    """Base class of metrics computed from sums over all rows since `reset_state`.

    A subclass implements three methods: `sum_shapes` returns the shapes of the sums, `batch_sums`
    returns what a batch adds to them, and `value` computes the metric from the sums. The value does
    not depend on how rows are split into batches or replicas, because sums can be added. It is NaN
    if an embedding of a row with a weight is NaN.

    The shapes of the sums depend on the views. The first update calls `build`, which creates them.

    Callbacks such as `keras.callbacks.EarlyStopping` read the class attribute `_direction`. Set it
    to `"up"` if more is better, or to `"down"`.

    Args:
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result. The sums are float32.

    Call arguments of `update_state`: `y_true` and `y_pred` as in `ContrastiveLoss`, `sample_weight`
    `(batch,)`.

    Raises:
        ValueError: If there are fewer than `min_views` views, or if the number or the dimension of
            the views changes.

    Example:

    >>> class MeanCosine(ViewMetric):
    ...     min_views = 2
    ...
    ...     def sum_shapes(self, num_views, dim):
    ...         return {"cosines": (), "weight": ()}
    ...
    ...     def batch_sums(self, batch, weights):
    ...         first, second, *_ = batch.views.values()
    ...         cosines = keras.ops.sum(first * second, axis=1)
    ...         return {
    ...             "cosines": keras.ops.sum(weights * cosines),
    ...             "weight": keras.ops.sum(weights),
    ...         }
    ...
    ...     def value(self, sums):
    ...         return sums["cosines"] / keras.ops.maximum(sums["weight"], 1e-9)
    >>> metric = MeanCosine()
    >>> metric.update_state(None, [keras.ops.eye(2), 3 * keras.ops.eye(2)])
    >>> float(metric.result())
    1.0
    """

    min_views: ClassVar[int] = 1

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.built = False

    def build(self, shape: tuple[int | None, int, int]) -> None:
        """Creates the sums for views of the shape `(batch, views, dim)`.

        Call it before `fit` if a distribution strategy needs all variables before the first step.
        """
        _, num_views, dim = shape
        self._shape = (num_views, dim)
        self._sums = {
            name: self.add_variable(shape, "zeros", dtype="float32", name=name)
            for name, shape in self.sum_shapes(num_views, dim).items()
        }
        self.built = True

    def update_state(
        self, y_true: ArrayLike | None, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        batch = Batch.from_targets(y_true, y_pred, across_replicas=False)
        self.update_batch(batch, sample_weight)

    def update_batch(self, batch: Batch, weights: ArrayLike | None = None) -> None:
        """Adds the rows of a batch to the sums.

        Args:
            batch: The rows. Its own weights and missing rows are ignored.
            weights: Weights of the rows, `(batch,)`, or `None` for equal weights.
        """
        batch = unit_batch(batch)
        views = list(batch.views.values())
        if len(views) < self.min_views:
            raise ValueError(
                f"`{type(self).__name__}` needs at least {self.min_views} views. "
                f"Received: {len(views)}. "
                "Pass target embeddings as `y_true`, or several views as `y_pred`."
            )
        shape = (len(views), views[0].shape[-1])
        if not self.built:
            self.build((None, *shape))
        if shape != self._shape:
            raise ValueError(
                "The number and the dimension of the views must not change. "
                f"Received: (views, dim)={shape} after (views, dim)={self._shape}. "
                "Use one metric for each."
            )
        row_weights = ops.ones_like(views[0][:, 0])
        if weights is not None:
            row_weights = row_weights_of(batch, weights)
            batch = _without_weightless_rows(batch, row_weights)
        for name, new in self.batch_sums(batch, row_weights).items():
            self._sums[name].assign_add(new)  # Replicas add up these changes.

    def result(self) -> Tensor:
        if not self.built:
            return ops.zeros((), self.dtype)
        sums = {name: ops.convert_to_tensor(variable) for name, variable in self._sums.items()}
        return ops.cast(self.value(sums), self.dtype)

    def sum_shapes(self, num_views: int, dim: int) -> dict[str, Shape]:
        """Returns the shapes of the sums by name."""
        raise NotImplementedError

    def batch_sums(self, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        """Returns the sums over the rows of a batch, by name.

        Args:
            batch: Its views are normalized, float32 `(batch, dim)`, and no gradient reaches them.
            weights: float32 `(batch,)`.
        """
        raise NotImplementedError

    def value(self, sums: dict[str, Tensor]) -> Tensor:
        """Returns the metric, a scalar, from the sums. It must be finite if all sums are zero."""
        raise NotImplementedError


def unit_batch(batch: Batch) -> Batch:
    """Returns the batch with normalized float32 views that no gradient reaches.

    Raises:
        ValueError: If the batch has no rows.
    """
    check_has_rows(batch.views, batch.replicas)
    return batch.unit("float32").stop_gradient()


def row_weights_of(batch: Batch, weights: ArrayLike) -> Tensor:
    """Returns weights as float32 `(batch,)`. Raises unless there is one per row."""
    num_rows = next(iter(batch.views.values())).shape[0]
    return ops.cast(as_weights(weights, num_rows), "float32")


def _without_weightless_rows(batch: Batch, weights: Tensor) -> Batch:
    """Returns the batch with zeros in rows without a weight, so that not even NaN counts."""
    counts = ops.expand_dims(weights != 0, 1)
    return batch.with_views(
        {name: ops.where(counts, x, ops.zeros_like(x)) for name, x in batch.views.items()}
    )


def weighted_sum(rows: Tensor, weights: Tensor) -> Tensor:
    """Returns the sum over the rows of each view, from `(batch, views, dim)` and `(batch,)`."""
    return ops.einsum("nvd,n->vd", rows, weights)


def mean_or_zero(total: Tensor, weight: Tensor) -> Tensor:
    """Returns `total / weight`, or zero if the weight is zero."""
    return total / ops.where(weight > 0, weight, 1.0)
