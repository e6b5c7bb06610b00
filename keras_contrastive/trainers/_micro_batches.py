"""Calling an encoder on a few rows at a time, in the memory that a few rows need."""

import keras
from keras import ops

from keras_contrastive._replicas import num_data_shards, shard_rows
from keras_contrastive.trainers import _micro_batches_tensorflow as tensorflow_chunks


def call_in_chunks(layer, inputs, size):
    """Call a layer in a training step on `size` rows at a time, and once more when the gradient needs what is inside.

    Of a chunk only its inputs and outputs are kept. State that the layer changes (moving statistics, seeds of dropout)
    goes from chunk to chunk; a statistic of "the batch" is one of the chunk.

    Args:
        layer: A built Keras layer or model.
        inputs: A tensor, or a structure of tensors, `(batch, ...)`.
        size: Positive int. Where `keras.distribution` splits the batch, it counts the rows of each shard.

    Returns:
        The outputs, a tensor `(batch, ...)`, and the losses of activities, a scalar: their mean over the rows.
    """
    trainable = [variable.value for variable in layer.trainable_variables]
    state = [ops.convert_to_tensor(variable.value) for variable in layer.non_trainable_variables]
    loop = {"jax": _scan, "tensorflow": tensorflow_chunks.loop, "torch": _iterate}[
        keras.backend.backend()
    ]
    outputs, activity, state = loop(_Stateless(layer), trainable, state, inputs, size)
    for variable, value in zip(layer.non_trainable_variables, state, strict=True):
        variable.assign(value)
    return outputs, activity


def fit_one_chunk(inputs, size):
    """Whether these rows are, for certain, no more than a chunk."""
    rows = keras.tree.flatten(inputs)[0].shape[0]
    return rows is not None and rows <= size * num_data_shards()


class _Stateless:
    """A layer in training as a function of its weights, its state and some rows."""

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, trainable, state, rows):
        """Outputs, the loss of activities, and the new state."""
        layer = self.layer
        variables = [*layer.trainable_variables, *layer.non_trainable_variables]
        values = list(zip(variables, [*trainable, *state], strict=True))
        with keras.StatelessScope(state_mapping=values, collect_losses=True) as scope:
            outputs = layer(rows, training=True)
            # The losses of activities come first, then those of weights, which are none of a chunk's.
            num_regularized = sum(
                variable.regularizer is not None for variable in layer.trainable_variables
            )
            losses = layer.losses
            activity = sum(
                (ops.cast(x, "float32") for x in losses[: len(losses) - num_regularized]),
                ops.zeros(()),
            )
        new = [scope.get_current_value(variable) for variable in layer.non_trainable_variables]
        new = [
            old if value is None else ops.convert_to_tensor(value)
            for old, value in zip(state, new, strict=True)
        ]
        return outputs, activity, new


def _iterate(call, trainable, state, inputs, size):
    call = keras.remat(call)
    num_rows = keras.tree.flatten(inputs)[0].shape[0]
    outputs, total = [], 0.0
    for start in range(0, max(num_rows, 1), size):
        chunk = keras.tree.map_structure(lambda x, start=start: x[start : start + size], inputs)
        of_chunk, activity, state = call(trainable, state, chunk)
        outputs.append(of_chunk)
        total = total + activity * (of_chunk.shape[0] / max(num_rows, 1))
    return ops.concatenate(outputs), total, state


def _scan(call, trainable, state, inputs, size):
    # A loop that really is one: of an unrolled one, XLA keeps most activations alive. Each shard of the batch gives
    # `size` rows to a chunk, so that no row has to move.
    call, shards = keras.remat(call), num_data_shards()
    of_shard = keras.tree.flatten(inputs)[0].shape[0] // shards
    count, rest = divmod(of_shard, size)

    def full_chunks(x):  # (count, shards * size, ...)
        x = ops.reshape(x, (shards, of_shard, *x.shape[1:]))[:, : count * size]
        x = ops.reshape(x, (shards, count, size, *x.shape[2:]))
        x = ops.reshape(ops.swapaxes(x, 0, 1), (count, shards * size, *x.shape[3:]))
        return shard_rows(x, axis=1)

    def last_chunk(x):
        x = ops.reshape(x, (shards, of_shard, *x.shape[1:]))[:, count * size :]
        return shard_rows(ops.reshape(x, (shards * rest, *x.shape[2:])))

    def step(state, chunk):
        outputs, activity, state = call(trainable, state, chunk)
        return state, (outputs, activity)

    state, (outputs, activity) = ops.scan(
        step, state, keras.tree.map_structure(full_chunks, inputs), length=count
    )
    total = ops.sum(activity) * (size / of_shard)
    outputs = ops.swapaxes(ops.reshape(outputs, (count, shards, size, *outputs.shape[2:])), 0, 1)
    outputs = ops.reshape(outputs, (shards, count * size, *outputs.shape[3:]))
    if rest:
        last, activity, state = call(trainable, state, keras.tree.map_structure(last_chunk, inputs))
        total = total + activity * (rest / of_shard)
        outputs = ops.concatenate(
            [outputs, ops.reshape(last, (shards, rest, *last.shape[1:]))], axis=1
        )
    return shard_rows(ops.reshape(outputs, (shards * of_shard, *outputs.shape[2:]))), total, state
