"""Callbacks of `fit`: their order, the progress bar, and what an improvement of a metric is."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras

from keras_contrastive.trainers._scalar_logs import with_scalar_logs


def callbacks_of_fit(trainer: Any, arguments: Mapping[str, Any]) -> Any:
    """Returns the callbacks of `fit`, with those of a trainer.

    Args:
        trainer: A `ContrastiveTrainer`.
        arguments: All arguments of `fit` by name.
    """
    weights = {mean.name: 1.0 for mean in trainer._penalty_means} | trainer._extra_weights
    metrics = [*trainer._view_metrics.plain, *trainer._view_metrics.weighted]
    modes = monitor_modes(metrics, weights)
    callbacks = prepare_callbacks(arguments["callbacks"], modes, arguments["verbose"])
    return with_scalar_logs(trainer, callbacks)


def prepare_callbacks(callbacks: Any, modes: Mapping[str, str], verbose: Any) -> Any:
    """Returns the callbacks with evaluations first. Sets the mode of those that monitor a metric.

    If there are evaluations and a progress bar, a shorter bar replaces that of Keras.

    An evaluation is a callback with a method `set_callbacks`, such as
    `keras_contrastive.evaluation.CorpusEvaluation`. It adds measures to the logs, which callbacks
    such as `EarlyStopping` and `CSVLogger` read.

    Args:
        callbacks: The argument `callbacks` of `fit`.
        modes: `"max"` or `"min"` by the names of metrics. See `monitor_modes`.
        verbose: The argument `verbose` of `fit`.
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
    if is_container:
        callbacks.callbacks = found
        return callbacks
    evaluations = [callback for callback in found if hasattr(callback, "hidden_names")]
    has_bar = any(isinstance(callback, keras.callbacks.ProgbarLogger) for callback in found)
    if evaluations and verbose != 0 and not has_bar:
        found.append(_ShortProgbarLogger(evaluations))
    return found


class _ShortProgbarLogger(keras.callbacks.ProgbarLogger):
    """Shows the progress bar of Keras without the names that evaluations hide.

    Args:
        evaluations: Callbacks with a method `hidden_names`.
    """

    def __init__(self, evaluations: Sequence[Any]) -> None:
        super().__init__()
        self.evaluations = evaluations

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        hidden = {name for evaluation in self.evaluations for name in evaluation.hidden_names()}
        shown = {name: value for name, value in (logs or {}).items() if name not in hidden}
        super().on_epoch_end(epoch, shown)


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
