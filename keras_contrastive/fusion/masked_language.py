"""Masked language modelling: restore the words that were hidden, with the help of the picture."""

import keras
from keras import ops

from keras_contrastive.fusion.token_corruption import TokenCorruption


@keras.saving.register_keras_serializable(package="keras_contrastive")
class MaskedLanguage(keras.layers.Layer):
    """Hides words of a text, and guesses them from what the fusion encoder says of their places.

    Args:
        vocabulary_size: Positive int; ids are in `[0, vocabulary_size)`.
        mask_id: Integer, the id of `[MASK]`.
        kept_ids: Integers, ids that are never hidden, such as those of `[CLS]` and `[SEP]`.
        rate: In [0, 1], probability that a token is chosen; of those, 80 % become `[MASK]`, 10 % a random token.
        padding_id: Integer, the id after the last token of a row.
        seed: Integer or `None`, seed of the draws; see `keras_contrastive.augmentation.Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        fused: `(batch, length, dim)`, tokens of the corrupted text that have read the image.

    Returns:
        Logits of the words, float32 `(batch, length, vocabulary_size)`.

    Reference:
        - [Devlin et al., 2019](https://arxiv.org/abs/1810.04805), Sec. 3.1. As in BERT, a hidden layer goes before the
          logits; their matrix is not that of the text tower's embeddings, which may be anybody's.

    Example:

    >>> language = MaskedLanguage(vocabulary_size=30, mask_id=3, kept_ids=(1, 2))
    >>> tuple(language(keras.ops.ones((2, 6, 8))).shape)
    (2, 6, 30)
    """

    def __init__(self, vocabulary_size, mask_id, kept_ids=(), rate=0.15, padding_id=0, seed=None, **kwargs):
        super().__init__(**kwargs)
        # An augmenter keeps its step under every policy.
        self.corruption = TokenCorruption(
            vocabulary_size, mask_id, rate, padding_id=padding_id, kept_ids=kept_ids, seed=seed, name="corruption"
        )
        self.vocabulary_size = self.corruption.vocabulary_size
        self.rate = rate

    def build(self, fused_shape):
        """Create the head for tokens of this dimension."""
        dim = fused_shape[-1]
        self.corruption.build()
        self.hidden = keras.layers.Dense(dim, activation="gelu", dtype=self.dtype_policy, name="hidden")
        self.hidden.build((None, None, dim))
        self.norm = keras.layers.LayerNormalization(epsilon=1e-12, dtype=self.dtype_policy, name="norm")
        self.norm.build((None, None, dim))
        self.words = keras.layers.Dense(self.vocabulary_size, dtype=self.dtype_policy, name="words")
        self.words.build((None, None, dim))
        self.built = True

    def call(self, fused):
        return ops.cast(self.words(self.norm(self.hidden(fused))), "float32")

    def compute_output_spec(self, fused):
        return keras.KerasTensor((*fused.shape[:-1], self.vocabulary_size), "float32")

    def corrupt(self, ids, mask=None, training=True):
        """Corrupted ids, and which tokens are to be restored; see `TokenCorruption.corrupt`."""
        return self.corruption.corrupt(ids, mask, training)

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
        return ops.sum((ops.logsumexp(logits, axis=-1) - truth) * there, axis=1), ops.sum(there, axis=1)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "mask_id": self.corruption.mask_id,
            "kept_ids": self.corruption.kept_ids,
            "rate": self.rate,
            "padding_id": self.corruption.padding_id,
            "seed": self.corruption.seed,
        }
