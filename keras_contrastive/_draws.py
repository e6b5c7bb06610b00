"""Random draws from counters: equal on every backend, on any number of devices, after a resume.

`keras.random` does not fit inside a training step: on JAX an untracked seed is frozen when the step
is compiled and a tracked one is not saved, and on PyTorch each call waits for the device. A hash of
a counter needs no state.
"""

import random

from keras import ops

from keras_contrastive import _checks
from keras_contrastive._typing import Tensor

# Odd, so that consecutive counters are mapped far apart: 2**32 / golden ratio, as int32.
_STRIDE = 0x9E3779B1 - 2**32


def as_seed(seed: int | None) -> int:
    """Returns the seed. Draws one from Python's `random` if it is `None`.

    `keras.utils.set_random_seed` seeds Python's `random`.

    Raises:
        TypeError: If `seed` is neither an integer nor `None`.
    """
    if seed is None:
        return random.randrange(2**31)
    return _checks.integer("seed", seed, "Pass `None` to draw a seed.")


def uniform(keys: Tensor, count: int, dtype: str = "float32") -> Tensor:
    """Draws from the uniform distribution on the open interval (0, 1).

    Args:
        keys: int32 `(batch,)`, one key for each row. See `hash_keys`.
        count: Positive int, the number of independent draws for each row.
        dtype: Dtype of the result.

    Returns:
        `(batch, count)`.

    Example:

    >>> keys = hash_keys(7, keras.ops.arange(2, dtype="int32"))
    >>> tuple(uniform(keys, 3).shape)
    (2, 3)
    """
    counters = ops.reshape(ops.arange(1, count + 1, dtype="int32"), (1, count))
    bits = _mix(ops.reshape(keys, (-1, 1)) + counters * _STRIDE)
    # The upper 24 bits plus one half are never 0. The largest value would round to 1 in float32.
    return ops.minimum((ops.cast(_shift_right(bits, 8), dtype) + 0.5) / 2**24, 1 - 2**-24)


def gamma(keys: Tensor, draws: int, count: int, dtype: str = "float32") -> Tensor:
    """Draws from Gamma(draws, 1) / draws, which has mean 1 and variance 1 / draws.

    Args:
        keys: int32 `(batch,)`, one key for each row. See `hash_keys`.
        draws: Positive int, the number of exponential draws that are averaged.
        count: Positive int, the number of independent results for each row.
        dtype: Dtype of the result.

    Returns:
        `(batch, count)`.
    """
    exponential = -ops.log(uniform(keys, count * draws, dtype))
    return ops.mean(ops.reshape(exponential, (-1, count, draws)), axis=-1)


def hash_keys(seed: int, *counters: Tensor) -> Tensor:
    """Combines a seed and counters into keys.

    Args:
        seed: Python integer.
        *counters: int32 tensors that broadcast to `(batch,)`, such as a step and row numbers.

    Returns:
        int32 `(batch,)`.
    """
    first, *others = counters
    key = _mix(first + _as_int32(seed * _STRIDE))
    for counter in others:
        key = _mix(key * _STRIDE + counter)
    return key


def hash_embeddings(embeddings: Tensor) -> Tensor:
    """Hashes each row of numbers. Any changed bit changes the hash.

    Args:
        embeddings: Float `(batch, dim)`.

    Returns:
        int32 `(batch,)`.
    """
    bits = ops.view(ops.cast(ops.stop_gradient(embeddings), "float32"), "int32")
    positions = ops.arange(1, embeddings.shape[-1] + 1, dtype="int32")
    return ops.cast(ops.sum(_mix(bits + positions * _STRIDE), axis=-1), "int32")


def _mix(x: Tensor) -> Tensor:
    # The finalizer "lowbias32": a flipped input bit flips each output bit with probability 1/2.
    x = ops.bitwise_xor(x, _shift_right(x, 16)) * 0x7FEB352D
    x = ops.bitwise_xor(x, _shift_right(x, 15)) * _as_int32(0x846CA68B)
    return ops.bitwise_xor(x, _shift_right(x, 16))


def _shift_right(x: Tensor, bits: int) -> Tensor:
    # `right_shift` copies the sign bit. The mask removes the copies.
    return ops.bitwise_and(ops.right_shift(x, bits), (1 << (32 - bits)) - 1)


def _as_int32(x: int) -> int:
    return (x + 2**31) % 2**32 - 2**31
