"""The loop over micro-batches on JAX, in a compiled step."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_contrastive._replicas import num_data_shards, shard_rows
from keras_contrastive._typing import Structure, Tensor
from keras_contrastive.trainers._convolutions_jax import with_fast_convolutions

State = list[Tensor]


def loop(
    call: Any, trainable: State, state: State, inputs: Structure, size: int
) -> tuple[Tensor, Tensor, State]:
    """Applies a `StatelessLayer` to `size` rows at a time. See `apply_in_micro_batches`.

    It runs `scan`, since XLA keeps most activations of an unrolled loop in memory.
    """
    # Each shard of the batch contributes `size` rows to a micro-batch, so that no row moves.
    call, shards = _recomputed(call), num_data_shards()
    shard_size = keras.tree.flatten(inputs)[0].shape[0] // shards
    count, rest = divmod(shard_size, size)

    def full_micro_batches(x: Tensor) -> Tensor:  # (count, shards * size, ...)
        x = ops.reshape(x, (shards, shard_size, *x.shape[1:]))[:, : count * size]
        x = ops.reshape(x, (shards, count, size, *x.shape[2:]))
        x = ops.reshape(ops.swapaxes(x, 0, 1), (count, shards * size, *x.shape[3:]))
        return shard_rows(x, axis=1)

    def last_micro_batch(x: Tensor) -> Tensor:
        x = ops.reshape(x, (shards, shard_size, *x.shape[1:]))[:, count * size :]
        return shard_rows(ops.reshape(x, (shards * rest, *x.shape[2:])))

    def step(state: State, rows: Structure) -> tuple[State, tuple[Tensor, Tensor]]:
        outputs, activity, state = call(trainable, state, rows)
        return state, (outputs, activity)

    state, (outputs, activity) = ops.scan(
        step, state, keras.tree.map_structure(full_micro_batches, inputs), length=count
    )
    total = ops.sum(activity) * (size / shard_size)
    outputs = ops.swapaxes(ops.reshape(outputs, (count, shards, size, *outputs.shape[2:])), 0, 1)
    outputs = ops.reshape(outputs, (shards, count * size, *outputs.shape[3:]))
    if rest:
        rows = keras.tree.map_structure(last_micro_batch, inputs)
        last, activity, state = call(trainable, state, rows)
        total = total + activity * (rest / shard_size)
        last = ops.reshape(last, (shards, rest, *last.shape[1:]))
        outputs = ops.concatenate([outputs, last], axis=1)
    outputs = ops.reshape(outputs, (shards * shard_size, *outputs.shape[2:]))
    return shard_rows(outputs), total, state


def _recomputed(call: Any) -> Callable[..., Any]:
    """Returns a `StatelessLayer` that is computed again in the backward pass."""
    import jax

    if jax.default_backend() != "cpu":
        return keras.remat(call)

    @jax.custom_vjp
    def compute(trainable: State, state: State, rows: Structure) -> tuple[Tensor, Tensor, State]:
        return with_fast_convolutions(call)(trainable, state, rows)

    def forward(trainable: State, state: State, rows: Structure) -> Any:
        return compute(trainable, state, rows), (trainable, state, rows)

    def backward(inputs: Any, gradients: Any) -> Any:
        trainable, state, rows = inputs

        def pull_back(trainable: State, state: State, rows: Structure, gradients: Any) -> Any:
            def compute_again(trainable: State, rows: Structure) -> tuple[Tensor, Tensor]:
                return call(trainable, state, rows)[:2]

            found = jax.vjp(compute_again, trainable, rows)[1](gradients)
            # Integers have none.
            return jax.tree.map(lambda x: None if x.dtype == jax.dtypes.float0 else x, found)

        # As on TensorFlow, no gradient reaches the state.
        found = with_fast_convolutions(pull_back)(trainable, state, rows, gradients[:2])
        return found[0], None, found[1]

    compute.defvjp(forward, backward)
    return compute
