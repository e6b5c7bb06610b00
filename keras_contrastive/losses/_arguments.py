"""Arguments of losses, and small functions that losses share."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import view_name
from keras_contrastive._typing import Layer, Reduction, Tensor

_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


def value_with_gradient_of(value: Tensor, surrogate: Tensor) -> Tensor:
    """Returns `value`, with the gradient of `surrogate`."""
    return ops.stop_gradient(value) + (surrogate - ops.stop_gradient(surrogate))


def sum_over_directions(losses: Tensor, weights: Sequence[float]) -> Tensor:
    """Sums losses `(batch, directions)` with the weights of the directions, `(batch,)`."""
    if len({*weights}) == 1:  # the default: without a tensor of weights
        return ops.sum(losses, axis=1) * weights[0]
    return ops.sum(losses * ops.convert_to_tensor(weights, dtype=losses.dtype), axis=1)


class Identity(keras.losses.Loss):
    """Returns `y_pred`, so that Keras weighs and reduces it."""

    def __init__(self, reduction: Reduction, dtype: str) -> None:
        super().__init__(name="reduce", reduction=reduction, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return y_pred

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        # PyTorch traces nothing, so what Keras does for masks and structures takes time in each
        # step, as much as a small loss.
        is_mean = sample_weight is None and self.reduction in _MEANS and y_pred.shape[0] != 0
        if is_mean and keras.backend.backend() == "torch":
            return ops.mean(y_pred)
        return super().__call__(y_true, y_pred, sample_weight)


def without_temperature(loss: str, arguments: Any, instead: str) -> Any:
    """Returns the arguments of a loss. Raises a `TypeError` if they contain a temperature."""
    if "temperature" in arguments:
        raise TypeError(
            f"`{loss}` has no argument `temperature`. Received: "
            f"temperature={arguments['temperature']!r}. Set `{instead}` instead."
        )
    return arguments


def named_directions(directions: Any, names: Sequence[str]) -> dict[tuple[str, str], float]:
    """Returns directions by view names. Raises a `ValueError` if they do not fit the views."""
    pairs = list(directions) if isinstance(directions, Mapping) else []
    if pairs and all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        named = {
            (view_name("directions", a, names), view_name("directions", b, names)): weight
            for (a, b), weight in directions.items()
        }
        if len(named) == len(pairs) and all(a != b for a, b in named):
            return named
    raise ValueError(
        "`directions` must be a dict from pairs of different views, those of the anchors and of "
        f"the candidates, to weights. The views are {', '.join(map(str, names))}. "
        f"Received: directions={directions}."
    )


def check_no_hard_negatives(loss: str, hard_negatives: Any) -> None:
    """Raises a `ValueError` if there are hard negatives."""
    if hard_negatives:
        raise ValueError(
            f"`hard_negatives` must be `None`, since `{loss}` compares no row with negatives. "
            f"Received: hard_negatives={list(hard_negatives)}. Leave them out, or use `InfoNCE`."
        )


def check_layers(loss: str, layers: Sequence[Layer], training: bool | None) -> None:
    """Raises a `ValueError` if a loss owns layers that are not tracked or not built."""
    if layers and training is None:
        names = ", ".join(layer.name for layer in layers)
        raise ValueError(
            f"`{loss}` owns layers ({names}), which a plain `keras.Model` neither trains nor "
            "updates. Received: training=None. Compile a `keras_contrastive.ContrastiveTrainer` "
            "with it. In a custom loop, call `build()` once and pass `training=True` or "
            "`training=False`."
        )
    unbuilt = [layer.name for layer in layers if not layer.built]
    if unbuilt:
        raise ValueError(
            f"The layers of the loss must be built. Received: {', '.join(unbuilt)} not built. "
            "`ContrastiveTrainer` builds them. In a custom loop, call `loss.build()` once before "
            "anything is traced or optimized. A queue then needs `dim`."
        )


def check_memory(memory: Any) -> None:
    """Raises a `TypeError` if `memory` is not a queue."""
    is_queue = isinstance(memory, keras.layers.Layer) and hasattr(memory, "candidates")
    if memory is not None and not is_queue:
        raise TypeError(
            "`memory` must be `None` or a `keras_contrastive.layers.EmbeddingQueue`. "
            f"Received: memory={memory!r}."
        )


def checked_ignore_above(loss: Any, ignore_above: Any) -> tuple[str, float] | None:
    """Returns a kind of margin and its size, or `None`. Raises if the loss ignores no negatives."""
    if ignore_above is None:
        return None
    if not loss.ignores_negatives:
        raise TypeError(
            f"`{type(loss).__name__}` has no argument `ignore_above`. Received: "
            f"ignore_above={ignore_above!r}. Use `InfoNCE`, `NTXent`, `DecoupledContrastive` or "
            "`SigmoidContrastive`."
        )
    expected = '`None`, `("absolute", margin)` or `("relative", margin)`'
    if not isinstance(ignore_above, (tuple, list)) or len(ignore_above) != 2:
        raise TypeError(
            f"`ignore_above` must be {expected}. Received: ignore_above={ignore_above!r}."
        )
    kind = _checks.one_of("ignore_above[0]", ignore_above[0], ("absolute", "relative"))
    return kind, _checks.real("ignore_above[1]", ignore_above[1])


def checked_temperature(temperature: Any, per_item: bool) -> Any:
    """Returns a temperature. Raises if it is neither positive nor a layer with a scale.

    Args:
        temperature: The argument of a loss.
        per_item: Whether the layer may have a temperature for each item.
    """
    if hasattr(temperature, "of_items") and not per_item:
        raise ValueError(
            "`temperature` must be a number or a `LearnableTemperature` in a loss without state of "
            f"its items. Received: temperature={temperature!r}. "
            "`GlobalContrastive(num_items, temperature)` takes it."
        )
    if isinstance(temperature, keras.layers.Layer) and hasattr(type(temperature), "scale"):
        return temperature
    value = _checks.divisor(
        "temperature",
        temperature,
        expected="a positive, finite float or a `keras_contrastive.layers.LearnableTemperature`",
        hint="For a logit scale, pass 1 / scale.",
    )
    _checks.warn_of_a_logit_scale("temperature", value)
    return value
