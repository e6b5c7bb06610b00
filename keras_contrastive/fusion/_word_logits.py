"""From what is known of a place in a text to the words that may stand there."""

import keras
from keras import ops

from keras_contrastive._checks import check_sizes
from keras_contrastive._keras import finish_build


class WordLogits(keras.layers.Layer):
    """BERT's head: a hidden layer, a normalization and a matrix of words of its own.

    Args:
        vocabulary_size: Positive int.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        tokens: `(batch, length, dim)`.

    Returns:
        Logits, float32 `(batch, length, vocabulary_size)`.
    """

    def __init__(self, vocabulary_size, **kwargs):
        super().__init__(**kwargs)
        check_sizes(vocabulary_size=vocabulary_size)
        self.vocabulary_size = int(vocabulary_size)

    def build(self, tokens_shape):
        """Create the weights for tokens of this dimension."""
        dim = tokens_shape[-1]
        self.hidden = keras.layers.Dense(
            dim, activation="gelu", dtype=self.dtype_policy, name="hidden"
        )
        self.hidden.build((None, None, dim))
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-12, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build((None, None, dim))
        self.words = keras.layers.Dense(self.vocabulary_size, dtype=self.dtype_policy, name="words")
        self.words.build((None, None, dim))
        finish_build(self)

    def call(self, tokens):
        return ops.cast(self.words(self.norm(self.hidden(tokens))), "float32")

    def compute_output_spec(self, tokens):
        return keras.KerasTensor((*tokens.shape[:-1], self.vocabulary_size), "float32")

    @staticmethod
    def losses_of(logits, ids, chosen):
        """The cross-entropy of the chosen tokens, summed over each row, and their number; both `(batch,)`.

        Args:
            logits: Float32 `(batch, length, vocabulary_size)`.
            ids: int32 `(batch, length)`, the text as it was.
            chosen: Bool `(batch, length)`.
        """
        truth = ops.squeeze(ops.take_along_axis(logits, ops.expand_dims(ids, -1), axis=-1), axis=-1)
        there = ops.cast(chosen, logits.dtype)
        return ops.sum((ops.logsumexp(logits, axis=-1) - truth) * there, axis=1), ops.sum(
            there, axis=1
        )

    def get_config(self):
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size}
