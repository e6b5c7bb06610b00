"""What the token views share: which tokens may be touched, and what happens outside training."""

import keras
import numpy as np
from keras import ops

from keras_contrastive._draws import uniform
from keras_contrastive.augmentation._base import Augmenter


class TokenAugmenter(Augmenter):
    """Base class of layers that make random views of token ids.

    In training each row of the batch is changed by draws of its own; otherwise the layer returns the ids as they are.
    It runs inside the compiled step. Padding and `kept_ids` are never changed, and never appear anew.

    A view of your own needs one method, `augment(ids, keys)`, and may ask `self.movable(ids)` which tokens it may
    touch.

    Args:
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids that are never touched, such as those of `[CLS]` and `[SEP]`.
        seed: See `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: Token ids, `(batch, length)`, of an integer dtype.
        training: Whether to augment.

    Returns:
        Token ids of the same shape and dtype.

    Raises:
        TypeError: Inputs that are not integers; ids of wrong kinds.
        ValueError: Another rank, or an unknown length.

    Example:

    >>> class Reverse(TokenAugmenter):
    ...     def augment(self, ids, keys):
    ...         return keras.ops.flip(ids, axis=1)
    >>> keras.ops.convert_to_numpy(Reverse()(np.array([[1, 2, 3]]), training=True)).tolist()
    [[3, 2, 1]]
    """

    def __init__(self, padding_id=0, kept_ids=(), seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.padding_id = as_id("padding_id", padding_id)
        self.kept_ids = as_ids("kept_ids", kept_ids)

    def check_shape(self, shape):
        if len(shape) != 2 or shape[1] is None:
            raise ValueError(
                f"`{type(self).__name__}` expects token ids `(batch, length)` of known length, padded with "
                f"`padding_id`. Received: shape {shape}."
            )

    def call(self, inputs, training=None):
        self.check_shape(tuple(inputs.shape))
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        if "int" not in dtype:
            raise TypeError(
                f"`{type(self).__name__}` expects integer token ids. Received: dtype={dtype}. "
                "Does the `keras.Input` lack its dtype, or does the layer stand behind an embedding?"
            )
        if not training:
            return inputs
        return ops.cast(self.augment(inputs, self.next_keys(ops.shape(inputs)[0])), dtype)

    def compute_output_spec(self, inputs, training=None):
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def movable(self, ids):
        """Which tokens may be touched: neither padding nor kept, a bool for each."""
        movable = ids != self.padding_id
        for kept in self.kept_ids:
            movable = ops.logical_and(movable, ids != kept)
        return movable

    def get_config(self):
        return {**super().get_config(), "padding_id": self.padding_id, "kept_ids": self.kept_ids}


def places_of(eligible):
    """Number the eligible tokens of each row from 0 on; and how many there are, `(batch, 1)`."""
    ones = ops.cast(eligible, "int32")
    return ops.cumsum(ones, axis=1) - 1, ops.sum(ones, axis=1, keepdims=True)


def draw_below(draws, count):
    """Turn draws from (0, 1) into integers in `[0, count)`; 0 where `count` is 0."""
    drawn = ops.cast(ops.floor(draws * ops.cast(count, "float32")), "int32")
    return ops.maximum(ops.minimum(drawn, count - 1), 0)  # the product may round up to `count`


def token_draws(keys, ids):
    """A draw from (0, 1) for each token, `(batch, length)`."""
    return uniform(keys, ids.shape[1])


class Amount:
    """How many edits a row gets: a number, or a share of its tokens, at least one."""

    def __init__(self, name, given):
        expected = f"`{name}` must be a positive integer, or a float in (0, 1), that share of each row's tokens"
        if isinstance(given, bool) or not isinstance(given, (int, float, np.integer, np.floating)):
            raise TypeError(f"{expected}. Received: {name}={given!r}.")
        self.is_share = isinstance(given, (float, np.floating))
        if not (0 < given < 1 if self.is_share else given >= 1):
            raise ValueError(f"{expected}. Received: {name}={given!r}.")
        self.given = float(given) if self.is_share else int(given)

    def most(self, length):
        """The largest number of edits in rows of this length, as int."""
        return max(1, int(self.given * length)) if self.is_share else self.given

    def of(self, count):
        """The number of edits in rows with `count` tokens."""
        if not self.is_share:
            return ops.zeros_like(count) + self.given  # `full_like` waits for the device on PyTorch
        return ops.maximum(ops.cast(self.given * ops.cast(count, "float32"), "int32"), 1)


def sum_where(mask, ids):
    """The one id of each row at which `mask` is true, `(batch, 1)`; 0 where it is nowhere."""
    return ops.sum(ops.where(mask, ids, ops.zeros_like(ids)), axis=1, keepdims=True)


def draw_columns(keys, count):
    """Draws from (0, 1), as a list of `(batch, 1)`."""
    draws = uniform(keys, count)
    return [draws[:, i : i + 1] for i in range(count)]


def as_id(name, value):
    """The token id as `int`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"`{name}` must be an integer, a token id. Received: {name}={value!r}.")
    return int(value)


def as_ids(name, values):
    """The token ids as a tuple of `int`."""
    if isinstance(values, (str, bytes)) or not np.iterable(values):
        raise TypeError(
            f"`{name}` must be a list or tuple of token ids. Received: {name}={values!r}."
        )
    return tuple(as_id(name, value) for value in values)
