"""Base class of the augmentation layers, and helpers that they share."""

import math
import zlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive._checks import is_number
from keras_contrastive._draws import as_seed, hash_keys, uniform
from keras_contrastive._keras import DRAW_STEP, EVALUATION_STEP, replicated_weight
from keras_contrastive._replicas import current_replicas
from keras_contrastive._typing import Config, Shape, Structure, Tensor


class Augmenter(keras.layers.Layer):
    """Base class of the augmentation layers. Use `ImageAugmenter` or `TokenAugmenter`.

    A draw depends on the seed, the step, the row in the global batch and the class name of the
    layer. The step counts the training calls and is a weight. This has four effects:

    * Each row is drawn independently, and anew at each call.
    * Draws are equal on every backend and on any number of replicas.
    * A saved and loaded model continues with the next draws.
    * Two layers of one class need different seeds.

    A subclass implements `augment`.

    Args:
        seed: Integer, or `None` to draw one from Python's `random`. `keras.utils.set_random_seed`
            seeds Python's `random`. The configuration contains the seed in both cases.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: If `seed` is not an integer.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        # Without `autocast`: inputs are not cast to float16, and are augmented in float32.
        super().__init__(autocast=False, **kwargs)
        self.seed = as_seed(seed)

    def build(self, input_shape: Any = None) -> None:
        """Checks the shape and creates the step counter."""
        if input_shape is not None:
            self.check_shape(tuple(input_shape))
        self.step = replicated_weight(self, DRAW_STEP, dtype="int32")
        self.built = True

    def __call__(self, inputs: Structure, *args: Any, **kwargs: Any) -> Any:
        for leaf in keras.tree.flatten(inputs):
            _check_backend(type(self).__name__, leaf)
        return super().__call__(inputs, *args, **kwargs)

    def check_shape(self, shape: Shape) -> None:
        """Raises a `ValueError` if inputs of this shape cannot be augmented."""

    def augment(self, inputs: Structure, keys: Tensor) -> Structure:
        """Makes a random view of each row. A pure function of its arguments.

        Args:
            inputs: A batch.
            keys: int32 `(batch,)`, for `keras_contrastive.extend.uniform`.
        """
        raise NotImplementedError(
            f"`{type(self).__name__}` must implement `augment(inputs, keys)`."
        )

    def next_keys(self, batch: Any, training: bool = True) -> Tensor:
        """Returns keys, in training others at each call, in evaluation always the same.

        Args:
            batch: Number of rows, an int or a scalar tensor.
            training: Whether to use the step and increment it. Otherwise, the keys differ from
                those of all training steps, and the step stays.

        Returns:
            int32 `(batch,)`, one key for each row.
        """
        step = ops.convert_to_tensor(self.step)
        step = step if training else ops.full_like(step, EVALUATION_STEP)
        # Layers of different classes with one seed draw independently.
        salt = zlib.crc32(type(self).__name__.encode()) - 2**31
        replicas = current_replicas(batch)
        rows = ops.arange(batch, dtype="int32") if replicas is None else replicas.rows
        keys = hash_keys(self.seed, step, salt, rows)
        if training:
            self.step.assign(step + 1)
        return keys

    def get_config(self) -> Config:
        return {**super().get_config(), "seed": self.seed}


def _check_backend(layer: str, x: Any) -> None:
    """Raises a `TypeError` if this is a tensor of `tf.data` and TensorFlow is not the backend."""
    kind = type(x)
    if not kind.__module__.startswith("tensorflow.") or kind.__name__ == "EagerTensor":
        return
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise TypeError(
            f"`{layer}` cannot run inside `tf.data` with the Keras backend {backend!r}, since it "
            f"computes with the backend. Received: inputs of type {kind.__name__}. Pass it as "
            "`augmenters` of `keras_contrastive.ContrastiveTrainer`, which makes the views inside "
            "the training step. Or apply it to the batches that leave `tf.data`."
        )


def part_keys(keys: Tensor, part: str | int) -> Tensor:
    """Returns keys for one part of an augmenter. Different parts draw independently."""
    return hash_keys(zlib.crc32(f"part {part}".encode()), keys)


def draw_columns(keys: Tensor, count: int) -> list[Tensor]:
    """Returns `count` independent draws from (0, 1) for each row, as tensors `(batch, 1)`."""
    draws = uniform(keys, count)
    return [draws[:, column : column + 1] for column in range(count)]


def select_rows(chosen: Tensor, changed: Tensor, unchanged: Tensor) -> Tensor:
    """Returns the changed rows where `chosen` is true, and the unchanged rows elsewhere.

    Args:
        chosen: bool `(batch, 1)`.
        changed: `(batch, ...)`, of the same number of elements as `unchanged`.
        unchanged: `(batch, ...)`.

    Returns:
        A tensor of the shape of `unchanged`.
    """
    # TensorFlow needs eight times as long to broadcast a condition to 4 axes.
    flat = (-1, math.prod(unchanged.shape[1:]))
    rows = ops.where(chosen, ops.reshape(changed, flat), ops.reshape(unchanged, flat))
    return ops.reshape(rows, (-1, *unchanged.shape[1:]))


def rescale(draws: Tensor, low: Any, high: Any) -> Tensor:
    """Maps draws from (0, 1) to the interval from `low` to `high`."""
    return low + (high - low) * draws


def number_pair(
    name: str, pair: Any, meaning: str, lowest: float = -math.inf, highest: float = math.inf
) -> tuple[float, float]:
    """Returns an ascending pair of finite numbers.

    Args:
        name: Name of the argument, for the message.
        pair: The value to check.
        meaning: Meaning of the numbers, for the message.
        lowest: Lower limit.
        highest: Upper limit.

    Raises:
        TypeError: If `pair` is not a list, tuple or array of numbers.
        ValueError: If `pair` does not have two numbers in ascending order within the limits.
    """
    limits = "low <= high" if math.isinf(lowest) else f"{lowest} <= low <= high"
    limits += "" if math.isinf(highest) else f" <= {highest}"
    expected = f"a pair (low, high) of {meaning} with {limits}"
    message = f"`{name}` must be {expected}. Received: {name}={pair!r}."
    if not isinstance(pair, (tuple, list, np.ndarray)) or not all(map(is_number, pair)):
        raise TypeError(message)
    if len(pair) != 2 or not lowest <= pair[0] <= pair[1] <= highest or not np.isfinite(pair).all():
        raise ValueError(message)
    return float(pair[0]), float(pair[1])
