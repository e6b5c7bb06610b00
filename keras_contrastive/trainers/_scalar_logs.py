"""Learnable scalars of a loss, such as its temperature, in the logs of each epoch."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive._typing import Layer
from keras_contrastive.layers import LearnableBias
from keras_contrastive.trainers._predictors import PREDICTED, TARGET


class ScalarLogs(keras.callbacks.Callback):
    """Adds the learnable scalars of a loss to the logs when an epoch ends.

    A step does not compute them, so it does not wait for a device. They are the values after the
    last step, and there is no second column for validation.

    Args:
        trainer: A `ContrastiveTrainer`.
    """

    def __init__(self, trainer: Any) -> None:
        super().__init__()
        self.trainer = trainer

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            # A metric of the user that has the same name keeps it.
            for name, value in self._scalars().items():
                logs.setdefault(name, value)

    def _scalars(self) -> dict[str, float]:
        loss = self.trainer.loss
        scalars: dict[str, float] = {}
        if isinstance(loss.temperature, keras.layers.Layer):
            scales = np.asarray(ops.convert_to_numpy(loss.scale())).reshape(-1)
            names = ["temperature"]
            if len(scales) > 1:
                directions = self.trainer.direction_weights()
                names = [
                    f"temperature_{a.removesuffix(PREDICTED)}_to_{b.removesuffix(TARGET)}"
                    for a, b in directions
                ]
            scalars |= dict(zip(names, (1 / scales).tolist(), strict=True))
        for layer in loss.layers:
            if isinstance(layer, LearnableBias):
                scalars[_bias_name(layer, scalars)] = float(ops.convert_to_numpy(layer.bias))
        return scalars


def _bias_name(layer: Layer, taken: dict[str, float]) -> str:
    return "bias" if "bias" not in taken else f"bias_{layer.name}"


def with_scalar_logs(trainer: Any, callbacks: Any) -> Any:
    """Returns the callbacks of `fit` with `ScalarLogs` first, so that the others read its values.

    Args:
        trainer: A `ContrastiveTrainer`.
        callbacks: `None`, a callback, a list of callbacks, or a `keras.callbacks.CallbackList`.
    """
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        return [ScalarLogs(trainer), *keras.tree.flatten(callbacks or [])]
    # A container may be used again, in a second call of `fit`.
    others = [found for found in callbacks.callbacks if not isinstance(found, ScalarLogs)]
    callbacks.callbacks = [ScalarLogs(trainer), *others]
    return callbacks
