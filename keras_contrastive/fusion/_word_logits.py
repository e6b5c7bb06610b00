"""The output head of language models."""

from typing import Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._keras import finish_build
from keras_contrastive._typing import Config, LayerArguments, Shape, Tensor


class WordLogits(keras.layers.Layer):
    """Computes word logits with BERT's head: a hidden layer, a normalization and a word matrix.

    Args:
        vocabulary_size: Positive int.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        tokens: `(batch, length, dim)`.

    Returns:
        Logits, float32 `(batch, length, vocabulary_size)`.
    """

    def __init__(self, vocabulary_size: int, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = _checks.positive_int("vocabulary_size", vocabulary_size)

    def build(self, tokens_shape: Shape) -> None:
        """Creates the weights for tokens of this dimension."""
        shape = (None, None, tokens_shape[-1])
        dtype = self.dtype_policy
        self.hidden = keras.layers.Dense(shape[-1], activation="gelu", dtype=dtype, name="hidden")
        self.hidden.build(shape)
        self.norm = keras.layers.LayerNormalization(epsilon=1e-12, dtype=dtype, name="norm")
        self.norm.build(shape)
        self.words = keras.layers.Dense(self.vocabulary_size, dtype=dtype, name="words")
        self.words.build(shape)
        finish_build(self)

    def call(self, tokens: Tensor) -> Tensor:
        return ops.cast(self.words(self.norm(self.hidden(tokens))), "float32")

    def compute_output_spec(self, tokens: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor((*tokens.shape[:-1], self.vocabulary_size), "float32")

    @staticmethod
    def cross_entropy(logits: Tensor, ids: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Sums the cross-entropy of the chosen tokens of each row.

        Args:
            logits: float32 `(batch, length, vocabulary_size)`.
            ids: int32 `(batch, length)`, the true tokens.
            chosen: Bool `(batch, length)`.

        Returns:
            `(totals, counts)`: `(batch,)` in nats, and `(batch,)`, the number of chosen tokens.
        """
        target = ops.take_along_axis(logits, ops.expand_dims(ids, -1), axis=-1)
        losses = ops.logsumexp(logits, axis=-1) - ops.squeeze(target, axis=-1)
        is_chosen = ops.cast(chosen, logits.dtype)
        return ops.sum(losses * is_chosen, axis=1), ops.sum(is_chosen, axis=1)

    def get_config(self) -> Config:
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size}
