"""Callbacks of `fit`: evaluations first, and what an improvement of a metric is."""

from collections.abc import Collection, Mapping
from typing import Any

import keras


def prepare_callbacks(callbacks: Any, modes: Mapping[str, str]) -> Any:
    """Returns the callbacks with evaluations first. Sets the mode of those that monitor a metric.

    An evaluation is a callback with a method `set_callbacks`, such as
    `keras_contrastive.evaluation.CorpusEvaluation`. It adds measures to the logs, which callbacks
    such as `EarlyStopping` and `CSVLogger` read.

    Args:
        callbacks: The argument `callbacks` of `fit`.
        modes: `"max"` or `"min"` by the names of metrics. See `monitor_modes`.
    """
    if callbacks is None:
        return None
    is_container = isinstance(callbacks, keras.callbacks.CallbackList)
    found = list(callbacks.callbacks if is_container else keras.tree.flatten(callbacks))
    found.sort(key=lambda callback: not hasattr(callback, "set_callbacks"))
    for callback in found:
        if hasattr(callback, "set_callbacks"):
            callback.set_callbacks(found)
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and getattr(callback, "mode", None) == "auto":
            callback.mode = modes.get(monitor.removeprefix("val_"), "auto")
    if not is_container:
        return found
    callbacks.callbacks = found
    return callbacks


def monitor_modes(metrics: Collection[Any], weights: Mapping[str, float]) -> dict[str, str]:
    """Returns `"max"` or `"min"` by the names of what a trainer reports, if it is known.

    Keras finds the direction of metrics that its own `compile` gets, which are not these.

    Args:
        metrics: The metrics of `compile`.
        weights: Weights of the parts of the loss, by the names that report them. Parts of weight 0
            are only reported.
    """
    modes = {name: "min" for name, weight in weights.items() if weight}
    modes |= {name: "max" for name in weights if name.endswith("accuracy")}
    for metric in metrics:
        direction = getattr(metric, "_direction", None)
        if direction is not None:
            modes[metric.name] = "max" if direction == "up" else "min"
    return modes
