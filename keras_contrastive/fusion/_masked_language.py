"""Masked language modeling: restore hidden words with the help of the image."""

from collections.abc import Iterable
from typing import Unpack

import keras

from keras_contrastive import _checks
from keras_contrastive._typing import Config, LayerArguments, Shape, Tensor
from keras_contrastive.augmentation import TokenCorruption
from keras_contrastive.fusion._word_logits import WordLogits


@keras.saving.register_keras_serializable(package="keras_contrastive")
class MaskedLanguage(WordLogits):
    """Hides words of a text and predicts them from the output of the fusion encoder.

    Args:
        vocabulary_size: Positive int. Token ids are in `[0, vocabulary_size)`.
        mask_id: Integer, the id of `[MASK]`.
        kept_ids: Integers, ids that are never hidden, such as those of `[CLS]` and `[SEP]`.
        rate: Float in [0, 1], probability that a token is chosen. 80 % of the chosen tokens become
            `[MASK]`, 10 % become a random token, 10 % stay.
        padding_id: Integer, the id after the last token of a text.
        seed: Integer or `None`, seed of the draws. See `keras_contrastive.augmentation.Augmenter`.
        weight: Non-negative float. The trainer multiplies the masked language loss with it. 0
            switches the loss off.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        fused: `(batch, length, dim)`, output of the fusion encoder for the corrupted text.

    Returns:
        Logits of the words, float32 `(batch, length, vocabulary_size)`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `rate` or `weight` is out of range, or an id is not in the vocabulary.

    Reference:
        - [Devlin et al., 2019](https://arxiv.org/abs/1810.04805), Sec. 3.1. As in BERT, a hidden
          layer precedes the logits. Unlike in BERT, their matrix is not shared with the embeddings
          of the text tower, since the tower can be any layer.

    Example:

    >>> language = MaskedLanguage(vocabulary_size=30, mask_id=3, kept_ids=(1, 2))
    >>> tuple(language(keras.ops.ones((2, 6, 8))).shape)
    (2, 6, 30)
    """

    def __init__(
        self,
        vocabulary_size: int,
        mask_id: int,
        kept_ids: Iterable[int] = (),
        rate: float = 0.15,
        padding_id: int = 0,
        seed: int | None = None,
        weight: float = 1.0,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(vocabulary_size, **kwargs)
        self.weight = _checks.non_negative("weight", weight)
        # Not in the dtype of this layer: an augmenter keeps its own dtype under every policy.
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

    def build(self, fused_shape: Shape) -> None:
        """Creates the head for tokens of this dimension."""
        self.corruption.build()
        super().build(fused_shape)

    def corrupt(
        self, ids: Tensor, mask: Tensor | None = None, training: bool | None = True
    ) -> tuple[Tensor, Tensor]:
        """Corrupts token ids. See `TokenCorruption.corrupt`.

        Args:
            ids: int32 `(batch, length)`.
            mask: `None`, or bool `(batch, length)`, False for padding.
            training: Whether this is a training step. An evaluation always draws the same.

        Returns:
            `(ids, chosen)`: the corrupted ids, and bool `(batch, length)`, the tokens to restore.
        """
        return self.corruption.corrupt(ids, mask, training)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "mask_id": self.corruption.mask_id,
            "kept_ids": self.corruption.kept_ids,
            "rate": self.rate,
            "padding_id": self.corruption.padding_id,
            "seed": self.corruption.seed,
            "weight": self.weight,
        }
