"""The masking of BERT, for masked language modeling."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive._checks import fraction, is_integer, positive_int
from keras_contrastive._draws import hash_keys, uniform
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._token_augmenter import TokenAugmenter


@keras.saving.register_keras_serializable(package="keras_contrastive")
class TokenCorruption(TokenAugmenter):
    """Corrupts token ids as BERT does: of the chosen tokens, most are masked and some replaced.

    The other chosen tokens do not change. `corrupt` also returns which tokens were chosen. See
    `TokenAugmenter` for inputs and outputs.

    Args:
        vocabulary_size: Positive int. Ids are in [0, vocabulary_size).
        mask_id: Integer, the id of `[MASK]`.
        rate: Float in [0, 1], the probability that a token is chosen.
        hidden: Float in [0, 1], the fraction of the chosen tokens that become `[MASK]`.
        replaced: Float in [0, 1], the fraction of the chosen tokens that become a random token.
            Padding, `[MASK]` and `kept_ids` are not drawn.
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids that are never chosen, such as those of `[CLS]` and `[SEP]`.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        ValueError: If a fraction is outside [0, 1], if `hidden + replaced` is above 1, or if the
            vocabulary has special tokens only.

    Reference:
        - [Devlin et al., 2019](https://arxiv.org/abs/1810.04805), Sec. 3.1: 15 % of the tokens, of
          which 80 % are masked and 10 % replaced.

    Example:

    >>> layer = TokenCorruption(30, mask_id=3, rate=1.0, hidden=1.0, replaced=0.0, kept_ids=(1, 2))
    >>> keras.ops.convert_to_numpy(layer(np.array([[1, 7, 8, 2, 0]]), training=True)).tolist()
    [[1, 3, 3, 2, 0]]
    """

    def __init__(
        self,
        vocabulary_size: int,
        mask_id: int,
        rate: float = 0.15,
        hidden: float = 0.8,
        replaced: float = 0.1,
        padding_id: int = 0,
        kept_ids: Iterable[int] = (),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        self.vocabulary_size = positive_int("vocabulary_size", vocabulary_size)
        self.rate = fraction("rate", rate)
        self.hidden = fraction("hidden", hidden)
        self.replaced = fraction("replaced", replaced)
        # 0.9 + 0.1 may be above 1 in floating point.
        if self.hidden + self.replaced > 1 + 1e-9:
            raise ValueError(
                "`hidden` and `replaced` must sum to at most 1. "
                f"Received: hidden={hidden}, replaced={replaced}. Both are fractions of the chosen "
                "tokens."
            )
        message = (
            f"`mask_id` must be a token id in [0, {self.vocabulary_size}), the vocabulary. "
            f"Received: mask_id={mask_id!r}."
        )
        if not is_integer(mask_id):
            raise TypeError(message)
        if not 0 <= mask_id < self.vocabulary_size:
            raise ValueError(message)
        self.mask_id = int(mask_id)
        special = [self.padding_id, self.mask_id, *self.kept_ids]
        self._ordinary = np.setdiff1d(np.arange(self.vocabulary_size), special).astype("int32")
        if not len(self._ordinary):
            raise ValueError(
                "`vocabulary_size` must leave a token besides padding, `[MASK]` and `kept_ids`. "
                f"Received: vocabulary_size={vocabulary_size}. Random tokens are drawn from them."
            )

    def augment(self, ids: Tensor, keys: Tensor) -> Tensor:
        return self._corrupt(ids, keys)[0]

    def corrupt(
        self, ids: Tensor, mask: Tensor | None = None, training: bool | None = True
    ) -> tuple[Tensor, Tensor]:
        """Corrupts a batch and returns which tokens were chosen.

        Args:
            ids: int32 `(batch, length)`.
            mask: `None`, or bool `(batch, length)`, False for padding in addition to `padding_id`.
            training: Whether this is a training step. An evaluation always draws the same, and
                does not change the draws of the following training step.

        Returns:
            Ids of the same shape, and bool `(batch, length)`, True for the chosen tokens.
        """
        self.check_shape(tuple(ids.shape))
        keys = self.next_keys(ops.shape(ids)[0], training=bool(training))
        changed, chosen = self._corrupt(ids, keys)
        if mask is None:
            return changed, chosen
        return ops.where(mask, changed, ids), ops.logical_and(chosen, mask)

    def _corrupt(self, ids: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        rate_draw, kind_draw, token_draw = (
            uniform(hash_keys(part, keys), ids.shape[1]) for part in range(3)
        )
        chosen = ops.logical_and(self.movable(ids), rate_draw <= self.rate)
        number = ops.cast(token_draw * len(self._ordinary), "int32")
        # The product may round up to the number of tokens.
        number = ops.minimum(number, len(self._ordinary) - 1)
        random_ids = ops.take(ops.convert_to_tensor(self._ordinary), number, axis=0)
        random_ids = ops.cast(random_ids, ids.dtype)
        changed = ops.where(kind_draw <= self.hidden + self.replaced, random_ids, ids)
        changed = ops.where(kind_draw <= self.hidden, self.mask_id, changed)
        return ops.where(chosen, changed, ids), chosen

    def movable(self, ids: Tensor) -> Tensor:
        return ops.logical_and(super().movable(ids), ids != self.mask_id)

    def get_config(self) -> Config:
        names = ("vocabulary_size", "mask_id", "rate", "hidden", "replaced")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
