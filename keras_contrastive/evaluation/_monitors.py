"""Callbacks that monitor a measure, in epochs in which it is NaN."""

import math
import warnings
from typing import Any

import keras


def skip_nan(callback: keras.callbacks.Callback) -> None:
    """Makes a callback skip the epochs in which the value that it monitors is NaN.

    Keras takes the first value as the best, also NaN, which no later value improves.
    """
    if not isinstance(callback.on_epoch_end, _SkipNaN):
        callback.on_epoch_end = _SkipNaN(callback)


class _SkipNaN:
    """Replaces `on_epoch_end` of a callback. It is a class so that callbacks can be copied."""

    def __init__(self, callback: Any) -> None:
        self.callback = callback
        self.on_epoch_end = callback.on_epoch_end

    def __call__(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = (logs or {}).get(self.callback.monitor)
        if logs is None or value is None or not math.isnan(value):
            self.on_epoch_end(epoch, logs)
        elif isinstance(self.callback, keras.callbacks.ModelCheckpoint):
            # Without a value, it would save the model as the best.
            if not self.callback.save_best_only:
                self.on_epoch_end(epoch, logs)
        else:
            # Without a value, the others change nothing, but `ReduceLROnPlateau` adds to `logs`.
            without = {name: v for name, v in logs.items() if name != self.callback.monitor}
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*which is not available")
                self.on_epoch_end(epoch, without)
            logs.update(without)
