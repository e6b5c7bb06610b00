"""Draws from counters: the same on every backend, on any number of devices, and after a resume.

`keras.random` is of no use in a step: on JAX a seed that nobody tracks is frozen when the step is compiled, a tracked
one is not saved, and PyTorch waits for the device at each call. A hash of a counter needs no state of its own.
"""

import random

import numpy as np
from keras import ops

_STRIDE = 0x9E3779B1 - 2**32  # odd, so that consecutive counters land far apart


def as_seed(seed):
    """The seed as `int`; `None` is drawn from Python's `random`, which `keras.utils.set_random_seed` seeds."""
    if seed is None:
        return random.randrange(2**31)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"`seed` must be an integer or `None`. Received: seed={seed!r}.")
    return int(seed)


def uniform(keys, count, dtype="float32"):
    """Draw from the open interval (0, 1).

    Args:
        keys: int32 `(batch,)`, one for each row; see `hash_keys`.
        count: Positive int, how many independent draws each row needs.
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
    # 24 bits and a half: never 0. The largest would round to 1 in float32.
    return ops.minimum((ops.cast(_shift(bits, 8), dtype) + 0.5) / 2**24, 1 - 2**-24)


def gamma(keys, draws, count, dtype="float32"):
    """Draw from Gamma(draws, 1) / draws: mean 1, variance 1 / draws.

    Args:
        keys: int32 `(batch,)`, one for each row; see `hash_keys`.
        draws: Positive int, how many exponential draws are averaged.
        count: Positive int, how many independent results each row needs.
        dtype: Dtype of the result.

    Returns:
        `(batch, count)`.
    """
    exponential = -ops.log(uniform(keys, count * draws, dtype))
    return ops.mean(ops.reshape(exponential, (-1, count, draws)), axis=-1)


def hash_keys(seed, *counters):
    """Combine a Python integer and int32 tensors into one int32 key for each row."""
    first, *others = counters
    key = _mix(first + _as_int32(seed * _STRIDE))
    for counter in others:
        key = _mix(key * _STRIDE + counter)
    return key


def hash_embeddings(embeddings):
    """An int32 number for each row that changes with any bit of it."""
    bits = ops.view(ops.cast(ops.stop_gradient(embeddings), "float32"), "int32")
    positions = ops.arange(1, embeddings.shape[-1] + 1, dtype="int32")
    return ops.cast(ops.sum(_mix(bits + positions * _STRIDE), axis=-1), "int32")


def _mix(x):
    # The 32-bit finaliser "lowbias32": flipping one bit of the input flips each bit of the output half the time.
    x = ops.bitwise_xor(x, _shift(x, 16)) * 0x7FEB352D
    x = ops.bitwise_xor(x, _shift(x, 15)) * _as_int32(0x846CA68B)
    return ops.bitwise_xor(x, _shift(x, 16))


def _shift(x, bits):
    """A logical shift to the right: `right_shift` drags the sign along."""
    return ops.bitwise_and(ops.right_shift(x, bits), (1 << (32 - bits)) - 1)


def _as_int32(x):
    return (x + 2**31) % 2**32 - 2**31
