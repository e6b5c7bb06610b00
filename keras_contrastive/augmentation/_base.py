"""What all augmentation layers share: draws that belong to a seed, a step and a row."""

import math
import zlib

import keras
import numpy as np
from keras import ops

from keras_contrastive._draws import as_seed, hash_keys
from keras_contrastive._replicas import shared_batch


class Augmenter(keras.layers.Layer):
    """Base class of the augmentation layers; use `ImageAugmenter` or `TokenAugmenter`.

    A draw depends on the seed, on how often the layer was called in training (a weight, `step`), on the row in the
    batch and on the class of the layer. So each sample is drawn by itself, anew at each call, the same on every
    backend; and as the step is saved with the model, interrupted training goes on with the draws that it would have
    seen. Two layers of one class need different seeds. On several replicas a row is drawn as it would be on one.

    A subclass implements `augment`.

    Args:
        seed: Integer, or `None` to draw one from Python's `random`, which `keras.utils.set_random_seed` seeds. Either
            way it is saved in the configuration.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: A seed that is not an integer.
    """

    def __init__(self, seed=None, **kwargs):
        # Inputs are not cast to float16 on their way in: what is computed is computed in float32.
        super().__init__(autocast=False, **kwargs)
        self.seed = as_seed(seed)

    def build(self, input_shape=None):
        """Create the step, once the shape is found to be right."""
        if input_shape is not None:
            self.check_shape(tuple(input_shape))
        # In a distributed step, each replica makes the same move.
        state = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        self.step = self.add_weight(
            name="step", shape=(), dtype="int32", initializer="zeros", **state
        )
        self.built = True

    def check_shape(self, shape):
        """Raise a `ValueError` if inputs of this shape cannot be augmented."""

    def augment(self, inputs, keys):
        """Make a random view of each row; a function of its arguments alone.

        Args:
            inputs: A batch.
            keys: int32 `(batch,)`, for `keras_contrastive._draws.uniform`.
        """
        raise NotImplementedError(
            f"`{type(self).__name__}` must implement `augment(inputs, keys)`."
        )

    def next_keys(self, batch, advance=True):
        """An int32 key for each row, new at each call; or those of the next call, which are not used up by it."""
        step = ops.convert_to_tensor(self.step)
        salt = (
            zlib.crc32(type(self).__name__.encode()) - 2**31
        )  # layers of different classes do not draw alike
        shared = shared_batch(batch)
        rows = ops.arange(batch, dtype="int32") if shared is None else shared.rows
        keys = hash_keys(self.seed, step, salt, rows)
        if advance:
            self.step.assign(step + 1)
        return keys

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def keys_of_part(keys, place):
    """Keys for one part of a composite, so that no two parts draw alike, not even two of one class."""
    return hash_keys(zlib.crc32(f"part {place}".encode()), keys)


def select_rows(chosen, changed, unchanged):
    """The changed rows where `chosen`, bool `(batch,)`, else the unchanged ones; both of as many numbers."""
    flat = (
        -1,
        math.prod(unchanged.shape[1:]),
    )  # TensorFlow takes eight times as long to broadcast a condition to 4 axes
    rows = ops.where(
        ops.expand_dims(chosen, 1), ops.reshape(changed, flat), ops.reshape(unchanged, flat)
    )
    return ops.reshape(rows, (-1, *unchanged.shape[1:]))


def between(draws, low, high):
    """Stretch draws from (0, 1) over `[low, high]`."""
    return low + (high - low) * draws


def as_rate(name, rate):
    """The rate as `float`, in `[0, 1]`."""
    rate = _as_number(name, rate, "a number in [0, 1], the share of what is changed")
    if not 0 <= rate <= 1:
        raise ValueError(
            f"`{name}` must be in [0, 1], the share of what is changed. Received: {name}={rate}."
        )
    return rate


def as_range(name, pair, meaning, lowest=None, highest=None):
    """The pair of numbers as a tuple of `float`, ascending and within the bounds."""
    expected = f"`{name}` must be a pair of numbers (low, high), {meaning}"
    if not isinstance(pair, (tuple, list, np.ndarray)):
        raise TypeError(f"{expected}. Received: {name}={pair!r}.")
    if len(pair) != 2:
        raise ValueError(f"{expected}. Received: {name}={pair!r}.")
    low, high = (_as_number(name, number, f"a pair of numbers, {meaning}") for number in pair)
    inside = (lowest is None or low >= lowest) and (highest is None or high <= highest)
    if not (low <= high and inside and np.isfinite([low, high]).all()):
        bounds = (
            ""
            if lowest is None
            else f", {lowest} <= low <= high" + ("" if highest is None else f" <= {highest}")
        )
        raise ValueError(f"{expected}{bounds}. Received: {name}={pair!r}.")
    return low, high


def _as_number(name, value, expected):
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"`{name}` must be {expected}. Received: {name}={value!r}.")
    return float(value)
