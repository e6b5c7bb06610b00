"""Workarounds and conventions for Keras, each in one place."""

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_contrastive._typing import Config, Tensor


def replicated_weight(
    layer: keras.layers.Layer,
    name: str,
    shape: Sequence[int] = (),
    dtype: str = "float32",
    initializer: Any = "zeros",
) -> Any:
    """Adds a non-trainable weight that every replica updates in the same way.

    The weight keeps its dtype under every policy. Under `tf.distribute`, the value of the first
    replica counts.
    """
    return layer.add_weight(
        name=name,
        shape=tuple(shape),
        dtype=dtype,
        initializer=initializer,
        trainable=False,
        autocast=False,
        aggregation="only_first_replica",
    )


# Name of the weight that counts the draws of a layer.
DRAW_STEP = "draw_step"
# The value of that weight in evaluation, which no training step has.
EVALUATION_STEP = -1


@contextlib.contextmanager
def evaluation_draws(layer: keras.layers.Layer) -> Iterator[None]:
    """Makes a built layer always draw the same.

    Draws are independent of those in training. State that the layer changes inside is dropped, so
    an evaluation has no influence on the training that follows.
    """
    with contextlib.ExitStack() as stack:
        if keras.backend.backend() == "torch":
            # Unseeded dropout draws from the global stream of PyTorch.
            import torch

            devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
            stack.enter_context(torch.random.fork_rng(devices))
            torch.manual_seed(2**30)
        mapping = [(v, _in_evaluation(v)) for v in layer.variables]
        stack.enter_context(keras.StatelessScope(state_mapping=mapping))
        yield


def _in_evaluation(variable: Any) -> Any:
    if variable.name == DRAW_STEP:
        return ops.full(variable.shape, EVALUATION_STEP, dtype=variable.dtype)
    if variable.name == "seed_generator_state":  # of a `keras.random.SeedGenerator`
        # The seed stays. The second number counts the draws from 0 on.
        seed, start = (
            ops.convert_to_tensor(pair, dtype=variable.dtype) for pair in ([1, 0], [0, 2**30])
        )
        return ops.convert_to_tensor(variable) * seed + start
    return variable


class AtMost(keras.constraints.Constraint):
    """Constrains a weight to an upper bound."""

    def __init__(self, bound: float) -> None:
        self.bound = bound

    def __call__(self, w: Tensor) -> Tensor:
        return ops.minimum(w, ops.cast(self.bound, w.dtype))

    def get_config(self) -> Config:
        return {"bound": self.bound}


def set_trainable(layer: keras.layers.Layer, value: bool) -> None:
    """Sets the `trainable` flag of a layer and of all layers inside it."""
    # On TensorFlow, Keras skips the assignment if the layer already has the value, although layers
    # inside it may have another one.
    layer.trainable = not value
    layer.trainable = value


def inner_layers(layers: Any) -> list[keras.layers.Layer]:
    """Returns layers in a structure, and all layers inside them, without those of inputs.

    `keras.Model.layers` misses the layers inside a layer that is no model.
    """
    outer = [layer for layer in keras.tree.flatten(layers) if layer is not None]
    found = [inner for layer in outer for inner in layer._flatten_layers()]
    return [layer for layer in found if not isinstance(layer, keras.layers.InputLayer)]


def finish_build(layer: keras.layers.Layer) -> None:
    """Marks a layer as built. If it is frozen, freezes the layers that `build` created."""
    layer.built = True
    if not layer.trainable:
        set_trainable(layer, False)


def copy_weights(layer: keras.layers.Layer, source: keras.layers.Layer) -> None:
    """Copies weights and `trainable` flags from a layer of the same structure."""
    layer.set_weights(source.get_weights())
    for weight, original in zip(layer.weights, source.weights, strict=True):
        weight.trainable = original.trainable


def map_layers(function: Callable[[Any], Any], layers: Any) -> Any:
    """Applies a function to a layer, or to each layer of a dict. `None` stays `None`."""
    if isinstance(layers, dict):
        return {name: function(layer) for name, layer in layers.items()}
    return None if layers is None else function(layers)


def serialize(part: Any) -> Any:
    """Returns the config of a Keras layer. Returns anything else unchanged."""
    return (
        keras.saving.serialize_keras_object(part) if isinstance(part, keras.layers.Layer) else part
    )


def deserialize(part: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """Returns the layer of a config. Returns anything else unchanged."""
    if isinstance(part, dict) and "class_name" in part:
        return keras.saving.deserialize_keras_object(part, custom_objects=custom_objects)
    return part


def snake_case(name: str) -> str:
    """Returns a class name as Keras names its objects: `info_nce` for `InfoNCE`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def repr_from_config(instance: Any, first: str | None = None) -> str:
    """Returns text such as `InfoNCE(temperature=0.05)`: arguments that differ from their defaults.

    Args:
        instance: An object with `get_config`.
        first: `None`, or the name of an argument that is always shown, without its name.
    """
    config = instance.get_config()
    parameters = inspect.signature(type(instance).__init__).parameters
    parts = [_argument(instance, first, config)] if first in config else []
    for name, parameter in parameters.items():
        if name == "self" or name == first or name not in config or name in ("name", "dtype"):
            continue
        if config[name] != parameter.default:
            parts.append(f"{name}={_argument(instance, name, config)}")
    return f"{type(instance).__name__}({', '.join(parts)})"


def _argument(instance: Any, name: str | None, config: Config) -> str:
    value = config[str(name)]
    # The config of a layer is a dict, which is longer than the text of the layer.
    return repr(getattr(instance, str(name), value) if isinstance(value, dict) else value)
