"""Base class of the token augmentation layers, and helpers that they share."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive._checks import integer, is_number
from keras_contrastive._draws import uniform
from keras_contrastive._typing import Config, Shape, Structure, Tensor
from keras_contrastive.augmentation._base import Augmenter


class TokenAugmenter(Augmenter):
    """Base class of layers that make random views of token ids.

    In training, each row of the batch is changed by its own draws. Outside training, the layer
    returns the ids unchanged. It runs inside the compiled step. Padding and `kept_ids` are never
    changed and never inserted.

    A subclass implements `augment(ids, keys)`. It calls `self.movable(ids)` to find the tokens
    that it may change.

    Args:
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids that are never changed, such as those of `[CLS]` and `[SEP]`.
        seed: See `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: Token ids, `(batch, length)`, of an integer dtype.
        training: Whether to augment.

    Returns:
        Token ids of the same shape and dtype.

    Raises:
        TypeError: If inputs, `padding_id` or `kept_ids` are not integers.
        ValueError: If inputs do not have rank 2 or a static length.

    Example:

    >>> class Reverse(TokenAugmenter):
    ...     def augment(self, ids, keys):
    ...         return keras.ops.flip(ids, axis=1)
    >>> keras.ops.convert_to_numpy(Reverse()(np.array([[1, 2, 3]]), training=True)).tolist()
    [[3, 2, 1]]
    """

    def __init__(
        self,
        padding_id: int = 0,
        kept_ids: Iterable[int] = (),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.padding_id = integer("padding_id", padding_id, "It is a token id.")
        self.kept_ids = as_ids("kept_ids", kept_ids)

    def check_shape(self, shape: Shape) -> None:
        if len(shape) != 2 or shape[1] is None:
            raise ValueError(
                f"`inputs` of `{type(self).__name__}` must be token ids `(batch, length)` of known "
                f"length. Received: inputs.shape={shape}. Pad all rows with `padding_id`."
            )

    def __call__(self, inputs: Structure, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, Mapping):
            raise TypeError(
                f"`inputs` of `{type(self).__name__}` must be token ids `(batch, length)`. "
                f"Received: a dict with {', '.join(map(str, inputs))}. Pass the token ids alone to "
                "the encoder."
            )
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        self.check_shape(tuple(inputs.shape))
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        if "int" not in dtype:
            raise TypeError(
                f"`inputs` of `{type(self).__name__}` must be integer token ids. "
                f"Received: dtype={dtype}. Set the dtype of the `keras.Input`, and place the "
                "layer before the embedding."
            )
        if not training:
            return inputs
        return ops.cast(self.augment(inputs, self.next_keys(ops.shape(inputs)[0])), dtype)

    def compute_output_spec(
        self, inputs: keras.KerasTensor, training: bool | None = None
    ) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def movable(self, ids: Tensor) -> Tensor:
        """Returns which tokens may be changed: all but padding and `kept_ids`.

        Args:
            ids: Integers `(batch, length)`.

        Returns:
            bool `(batch, length)`.
        """
        movable = ids != self.padding_id
        for kept in self.kept_ids:
            movable = ops.logical_and(movable, ids != kept)
        return movable

    def get_config(self) -> Config:
        return {**super().get_config(), "padding_id": self.padding_id, "kept_ids": self.kept_ids}


def number_tokens(eligible: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers the eligible tokens of each row, starting at 0.

    Args:
        eligible: bool `(batch, length)`.

    Returns:
        int32 `(batch, length)`, the numbers, valid where `eligible` is true, and int32
        `(batch, 1)`, the count of eligible tokens.
    """
    ones = ops.cast(eligible, "int32")
    return ops.cumsum(ones, axis=1) - 1, ops.sum(ones, axis=1, keepdims=True)


def draw_below(draws: Tensor, count: Tensor) -> Tensor:
    """Converts draws from (0, 1) to integers in [0, count). Returns 0 where `count` is 0."""
    drawn = ops.cast(ops.floor(draws * ops.cast(count, "float32")), "int32")
    # The product may round up to `count`.
    return ops.maximum(ops.minimum(drawn, count - 1), 0)


def token_draws(keys: Tensor, ids: Tensor) -> Tensor:
    """Returns a draw from (0, 1) for each token, `(batch, length)`."""
    return uniform(keys, ids.shape[1])


def select_token(mask: Tensor, ids: Tensor) -> Tensor:
    """Returns the id at the only true position of each row, `(batch, 1)`. 0 if there is none."""
    return ops.sum(ops.where(mask, ids, ops.zeros_like(ids)), axis=1, keepdims=True)


class Amount:
    """Number of edits of a row: a constant, or a fraction of the tokens of the row, at least 1.

    Args:
        name: Name of the argument, for messages.
        value: Positive int, or a float in (0, 1).
    """

    def __init__(self, name: str, value: Any) -> None:
        message = (
            f"`{name}` must be a positive integer, or a float in (0, 1), a fraction of the tokens "
            f"of a row. Received: {name}={value!r}."
        )
        if not is_number(value):
            raise TypeError(message)
        self.is_fraction = isinstance(value, (float, np.floating))
        if not (0 < value < 1 if self.is_fraction else value >= 1):
            raise ValueError(message)
        self.value = float(value) if self.is_fraction else int(value)

    def largest(self, length: int) -> int:
        """Returns the largest number of edits in rows of this length."""
        return max(1, int(self.value * length)) if self.is_fraction else int(self.value)

    def for_counts(self, counts: Tensor) -> Tensor:
        """Returns the number of edits in rows with these numbers of tokens, int32."""
        if not self.is_fraction:
            # `full_like` waits for the device on PyTorch.
            return ops.zeros_like(counts) + self.value
        return ops.maximum(ops.cast(self.value * ops.cast(counts, "float32"), "int32"), 1)


def as_ids(name: str, values: Any) -> tuple[int, ...]:
    """Returns token ids as a tuple of `int`."""
    if isinstance(values, (str, bytes)) or not np.iterable(values):
        raise TypeError(
            f"`{name}` must be a list or tuple of token ids. Received: {name}={values!r}."
        )
    return tuple(integer(name, value, "It contains token ids.") for value in values)
