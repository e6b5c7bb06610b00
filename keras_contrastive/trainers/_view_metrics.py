"""Metrics that compare the views of a batch."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_contrastive._engine import Batch
from keras_contrastive._typing import Config, Shape, Tensor


class ViewMetrics(keras.layers.Layer):
    """Tracks metrics and weighted metrics of a trainer.

    Keras locks the tracker of a layer once it is called. This layer is never called, so `compile`
    can replace the metrics after the model is built.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plain: list[Any] = []
        self.weighted: list[Any] = []
        self.views_shape: Shape | None = None
        self.built = True

    def replace(self, metrics: Sequence[Any], weighted_metrics: Sequence[Any]) -> None:
        """Tracks these metrics instead of the previous ones."""
        self.plain.clear()
        self.weighted.clear()
        self.plain.extend(metrics)
        self.weighted.extend(weighted_metrics)
        if self.views_shape is not None:
            self.build_for(self.views_shape)

    def build_for(self, shape: Shape) -> None:
        """Creates the variables of all metrics for views of shape `(batch, views, dim)`.

        Distribution strategies need all variables before the first step.
        """
        self.views_shape = shape
        for metric in (*self.plain, *self.weighted):
            if shape[-1] is not None and not getattr(metric, "built", True):
                metric.build(shape)

    def update(self, batch: Batch, scale: Callable[[], Tensor]) -> None:
        """Updates all metrics with the rows of all replicas that have all views of the batch.

        Args:
            batch: The rows.
            scale: Function that returns 1 / temperature of the loss.
        """
        if not self.plain and not self.weighted:
            return
        batch = batch.global_batch
        complete = batch.complete()
        weights = None if complete is None else ops.cast(complete, "float32")
        for metric in self.plain:
            _update(metric, batch, weights, scale)
        if batch.sample_weight is not None:
            sample_weight = ops.cast(batch.sample_weight, "float32")
            weights = sample_weight if weights is None else weights * sample_weight
        for metric in self.weighted:
            _update(metric, batch, weights, scale)

    def compile_config(self) -> Config:
        """Returns the configs of the metrics by their name in `compile`."""
        serialize = keras.saving.serialize_keras_object
        return {
            "metrics": [serialize(metric) for metric in self.plain],
            "weighted_metrics": [serialize(metric) for metric in self.weighted],
        }


def _update(metric: Any, batch: Batch, weights: Tensor | None, scale: Callable[[], Tensor]) -> None:
    if getattr(metric, "uses_scale", False):
        metric.update_batch(batch, weights, scale())
        return
    if hasattr(metric, "update_batch"):
        metric.update_batch(batch, weights)
        return
    views = ops.stop_gradient(ops.stack(list(batch.views.values()), axis=1))
    metric.update_state(batch.row_ids, views, weights)
