"""Micro-batches: a layer is applied to a few rows at a time to save memory."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_contrastive._replicas import num_data_shards
from keras_contrastive._typing import Layer, Structure, Tensor
from keras_contrastive.trainers import _micro_batches_jax, _micro_batches_tensorflow

State = list[Tensor]


def apply_in_micro_batches(layer: Layer, inputs: Structure, size: int) -> tuple[Tensor, Tensor]:
    """Applies a layer in a training step to `size` rows at a time.

    Only the inputs and outputs of a micro-batch are stored. The backward pass computes everything
    else again. State that the layer changes (moving statistics, seeds of dropout) passes from one
    micro-batch to the next. Statistics of "the batch" are those of a micro-batch.

    Args:
        layer: A built Keras layer or model.
        inputs: A tensor or a structure of tensors, `(batch, ...)`.
        size: Positive int. If `keras.distribution` shards the batch, it counts rows per shard.

    Returns:
        `(outputs, activity_loss)`: a tensor `(batch, ...)`, and a scalar, the mean over the rows of
        the losses that the layer adds.
    """
    # In an eager step, the inputs of second views are arrays.
    inputs = keras.tree.map_structure(ops.convert_to_tensor, inputs)
    trainable = [variable.value for variable in layer.trainable_variables]
    state = [ops.convert_to_tensor(variable.value) for variable in layer.non_trainable_variables]
    loops = {
        "jax": _micro_batches_jax.loop,
        "tensorflow": _micro_batches_tensorflow.loop,
        "torch": _iterate,
    }
    loop: Any = loops[keras.backend.backend()]
    outputs, activity, state = loop(StatelessLayer(layer), trainable, state, inputs, size)
    for variable, value in zip(layer.non_trainable_variables, state, strict=True):
        variable.assign(value)
    return outputs, activity


def fits_one_micro_batch(inputs: Structure, size: int) -> bool:
    """Returns whether the number of rows is known and at most that of one micro-batch."""
    rows = keras.tree.flatten(inputs)[0].shape[0]
    return rows is not None and rows <= size * num_data_shards()


class StatelessLayer:
    """A layer in training as a function of its weights, its state and some rows."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def __call__(
        self, trainable: State, state: State, rows: Structure
    ) -> tuple[Tensor, Tensor, State]:
        """Returns the outputs, the activity loss and the new state."""
        layer = self.layer
        variables = [*layer.trainable_variables, *layer.non_trainable_variables]
        values = list(zip(variables, [*trainable, *state], strict=True))
        with keras.StatelessScope(state_mapping=values, collect_losses=True) as scope:
            outputs = layer(rows, training=True)
            # Keras lists the losses of activities first, then those of weights. The latter do not
            # belong to a micro-batch.
            num_weight_losses = sum(
                variable.regularizer is not None for variable in layer.trainable_variables
            )
            losses = layer.losses
            activity_losses = losses[: len(losses) - num_weight_losses]
            activity = sum((ops.cast(x, "float32") for x in activity_losses), ops.zeros(()))
        new = [scope.get_current_value(variable) for variable in layer.non_trainable_variables]
        new = [
            old if value is None else ops.convert_to_tensor(value)
            for old, value in zip(state, new, strict=True)
        ]
        return outputs, activity, new


def _iterate(
    call: Callable[..., Any], trainable: State, state: State, inputs: Structure, size: int
) -> tuple[Tensor, Tensor, State]:
    """Runs a Python loop, for PyTorch."""
    call = keras.remat(call)
    num_rows = keras.tree.flatten(inputs)[0].shape[0]
    outputs, total = [], 0.0
    for start in range(0, max(num_rows, 1), size):
        rows = keras.tree.map_structure(lambda x, start=start: x[start : start + size], inputs)
        output, activity, state = call(trainable, state, rows)
        outputs.append(output)
        total = total + activity * (output.shape[0] / max(num_rows, 1))
    return ops.concatenate(outputs), total, state
