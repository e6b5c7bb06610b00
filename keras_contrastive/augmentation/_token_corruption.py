"""What a masked language model is asked to restore."""

import keras
import numpy as np
from keras import ops

from keras_contrastive._checks import check_sizes
from keras_contrastive._draws import hash_keys, uniform
from keras_contrastive.augmentation import TokenAugmenter
from keras_contrastive.augmentation._token_augmenter import as_id


@keras.saving.register_keras_serializable(package="keras_contrastive")
class TokenCorruption(TokenAugmenter):
    """BERT's masking: of the tokens that are chosen, most are hidden, some replaced, and some left as they are.

    See `TokenAugmenter` for what the layer takes and returns. `corrupt` also says which tokens were chosen.

    Args:
        vocabulary_size: Positive int; ids are in `[0, vocabulary_size)`.
        mask_id: Integer, the id of `[MASK]`.
        rate: In [0, 1], probability that a token is chosen.
        hidden: In [0, 1], share of the chosen tokens that become `[MASK]`.
        replaced: In [0, 1], share of them that become a random token: any but padding, `[MASK]` and `kept_ids`.
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids that are never chosen, such as those of `[CLS]` and `[SEP]`.
        seed: Integer or `None`; see `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        ValueError: Shares that are outside [0, 1] or sum to more than 1; a vocabulary of special tokens only.

    Reference:
        - [Devlin et al., 2019](https://arxiv.org/abs/1810.04805), Sec. 3.1: 15 %, of which 80 % and 10 %.

    Example:

    >>> layer = TokenCorruption(vocabulary_size=30, mask_id=3, rate=1.0, hidden=1.0, replaced=0.0, kept_ids=(1, 2))
    >>> keras.ops.convert_to_numpy(layer(np.array([[1, 7, 8, 2, 0]]), training=True)).tolist()
    [[1, 3, 3, 2, 0]]
    """

    def __init__(
        self,
        vocabulary_size,
        mask_id,
        rate=0.15,
        hidden=0.8,
        replaced=0.1,
        padding_id=0,
        kept_ids=(),
        seed=None,
        **kwargs,
    ):
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        check_sizes(vocabulary_size=vocabulary_size)
        vocabulary_size = int(vocabulary_size)
        for name, share in (("rate", rate), ("hidden", hidden), ("replaced", replaced)):
            if (
                isinstance(share, bool)
                or not isinstance(share, (int, float))
                or not 0 <= share <= 1
            ):
                raise ValueError(f"`{name}` must be in [0, 1]. Received: {name}={share!r}.")
        if hidden + replaced > 1 + 1e-9:
            raise ValueError(
                "`hidden` and `replaced` are shares of the chosen tokens and sum to at most 1. "
                f"Received: hidden={hidden}, replaced={replaced}."
            )
        mask_id = as_id("mask_id", mask_id)
        if not 0 <= mask_id < vocabulary_size:
            raise ValueError(
                f"`mask_id` must be a token id, in [0, {vocabulary_size}), the vocabulary. "
                f"Received: mask_id={mask_id!r}."
            )
        self.vocabulary_size = vocabulary_size
        self.mask_id = mask_id
        self.rate = rate
        self.hidden = hidden
        self.replaced = replaced
        ordinary = np.setdiff1d(
            np.arange(vocabulary_size), [self.padding_id, mask_id, *self.kept_ids]
        )
        if not len(ordinary):
            raise ValueError(
                "There is no token but padding, `[MASK]` and `kept_ids` to replace others by. "
                f"Received: vocabulary_size={vocabulary_size}."
            )
        self._ordinary = ordinary.astype("int32")

    def augment(self, ids, keys):
        return self._corrupted(ids, keys)[0]

    def corrupt(self, ids, mask=None, training=True):
        """Corrupt a batch, and say where.

        Args:
            ids: int32 `(batch, length)`.
            mask: `None`, or bool `(batch, length)`, False for padding, where `padding_id` does not tell.
            training: Whether the next draws are to be others. An evaluation leaves those of training as they are.

        Returns:
            Ids of the same shape, and bool `(batch, length)`, True for the chosen tokens.
        """
        self.check_shape(tuple(ids.shape))
        changed, chosen = self._corrupted(ids, self.next_keys(ops.shape(ids)[0], advance=training))
        if mask is None:
            return changed, chosen
        return ops.where(mask, changed, ids), ops.logical_and(chosen, mask)

    def _corrupted(self, ids, keys):
        length = ids.shape[1]
        draws = [uniform(hash_keys(part, keys), length) for part in range(3)]
        chosen = ops.logical_and(self.movable(ids), draws[0] <= self.rate)
        number = ops.cast(draws[2] * len(self._ordinary), "int32")
        number = ops.minimum(number, len(self._ordinary) - 1)  # the product may round up
        others = ops.cast(
            ops.take(ops.convert_to_tensor(self._ordinary), number, axis=0), ids.dtype
        )
        changed = ops.where(draws[1] <= self.hidden + self.replaced, others, ids)
        changed = ops.where(draws[1] <= self.hidden, self.mask_id, changed)
        return ops.where(chosen, changed, ids), chosen

    def movable(self, ids):
        return ops.logical_and(super().movable(ids), ids != self.mask_id)

    def get_config(self):
        names = ("vocabulary_size", "mask_id", "rate", "hidden", "replaced")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
