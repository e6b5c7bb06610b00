"""Masked language modeling: restore the words that were hidden, with the help of the picture."""

import keras

from keras_contrastive.augmentation._token_corruption import TokenCorruption
from keras_contrastive.fusion._word_logits import WordLogits


@keras.saving.register_keras_serializable(package="keras_contrastive")
class MaskedLanguage(WordLogits):
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

    def __init__(
        self, vocabulary_size, mask_id, kept_ids=(), rate=0.15, padding_id=0, seed=None, **kwargs
    ):
        super().__init__(vocabulary_size, **kwargs)
        # An augmenter keeps its step under every policy.
        self.corruption = TokenCorruption(
            vocabulary_size,
            mask_id,
            rate,
            padding_id=padding_id,
            kept_ids=kept_ids,
            seed=seed,
            name="corruption",
        )
        self.rate = rate

    def build(self, fused_shape):
        """Create the head for tokens of this dimension."""
        self.corruption.build()
        super().build(fused_shape)

    def corrupt(self, ids, mask=None, training=True):
        """Corrupted ids, and which tokens are to be restored; see `TokenCorruption.corrupt`."""
        return self.corruption.corrupt(ids, mask, training)

    def get_config(self):
        return {
            **super().get_config(),
            "mask_id": self.corruption.mask_id,
            "kept_ids": self.corruption.kept_ids,
            "rate": self.rate,
            "padding_id": self.corruption.padding_id,
            "seed": self.corruption.seed,
        }
