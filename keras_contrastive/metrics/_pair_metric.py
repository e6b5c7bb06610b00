"""Base class of metrics that average a statistic of each anchor's pairs."""

import itertools
from typing import ClassVar

import keras
from keras import ops

from keras_contrastive._engine import Batch, zero_where_missing
from keras_contrastive._typing import ArrayLike, Config, Tensor
from keras_contrastive.metrics._view_metric import row_weights_of, unit_batch


class PairMetric(keras.metrics.Mean):
    """Averages a statistic over the anchors of all batches since `reset_state`.

    A subclass implements `per_anchor`. Each view is compared with each other view, in both
    directions, or a single view with itself. A row without a weight is neither an anchor nor a
    candidate.

    Args:
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.
    """

    # Whether `per_anchor` needs the scale of the logits, which `ContrastiveTrainer` passes.
    uses_scale: ClassVar[bool] = False

    def update_state(
        self, y_true: ArrayLike | None, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        batch = Batch.from_targets(y_true, y_pred, across_replicas=False)
        self.update_batch(batch, sample_weight)

    def update_batch(
        self, batch: Batch, weights: ArrayLike | None = None, scale: Tensor | None = None
    ) -> None:
        """Adds the rows of a batch. See `ViewMetric.update_batch`.

        Args:
            batch: The rows.
            weights: Weights of the rows, `(batch,)`, or `None` for equal weights.
            scale: `None`, or 1 / temperature of the loss.
        """
        batch = unit_batch(batch)
        row_weights = None
        present: dict[str, Tensor] = {}
        if weights is not None:
            row_weights = row_weights_of(batch, weights)
            present = dict.fromkeys(batch.names, row_weights != 0)
        views = {name: zero_where_missing(x, present.get(name)) for name, x in batch.views.items()}
        batch = batch.with_views(views, present)
        values, counted = self.per_anchor(batch, scale)
        counted = ops.cast(counted, "float32")
        if row_weights is not None:
            counted *= ops.expand_dims(row_weights, 1)
        # A candidate that is NaN has no similarity, so the batch has no value.
        is_finite = ops.isfinite(sum(ops.sum(view) for view in batch.views.values()))
        values = ops.where(is_finite, ops.where(counted != 0, values, 0.0), float("nan"))
        num_directions = values.shape[1]
        super().update_state(values, counted / num_directions)

    def per_anchor(self, batch: Batch, scale: Tensor | None) -> tuple[Tensor, Tensor]:
        """Computes the statistic of each anchor in each direction.

        Args:
            batch: Its views are normalized, float32 `(batch, dim)`, and no gradient reaches them.
                `present` has all views or none.
            scale: `None`, or 1 / temperature of the loss.

        Returns:
            The values, and whether each anchor counts, bool. Both are `(batch, directions)`.
        """
        raise NotImplementedError

    def get_config(self) -> Config:
        return {"name": self.name, "dtype": self.dtype}


def directions_of(batch: Batch) -> list[tuple[str, str]]:
    """Returns all ordered pairs of views, or a single view with itself."""
    names = batch.names
    return list(itertools.permutations(names, 2)) or [(names[0], names[0])]


def rows_that_count(batch: Batch) -> Tensor:
    """Returns which rows have a weight, bool `(batch,)`."""
    complete = batch.complete()
    return ops.ones_like(batch.rows) > 0 if complete is None else complete
