"""Random masking of tokens."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_contrastive._checks import fraction, integer
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._token_augmenter import TokenAugmenter, token_draws


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomTokenMasking(TokenAugmenter):
    """Replaces each token by `mask_id` with probability `rate`.

    BERT leaves some of the chosen tokens unchanged and replaces others. For that, use
    `TokenCorruption`. See `TokenAugmenter` for inputs and outputs.

    Args:
        mask_id: Integer, the id of `[MASK]`.
        rate: Float in [0, 1], the probability that a token is masked.
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids that are never masked.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: If `mask_id` is not an integer.
        ValueError: If `rate` is outside [0, 1].

    Reference:
        - [Devlin et al., 2019](https://arxiv.org/abs/1810.04805), Sec. 3.1, for the rate of 15 %.

    Example:

    >>> layer = RandomTokenMasking(mask_id=103, rate=1.0, kept_ids=(101, 102))
    >>> keras.ops.convert_to_numpy(layer(np.array([[101, 7, 8, 102, 0]]), training=True)).tolist()
    [[101, 103, 103, 102, 0]]
    """

    def __init__(
        self,
        mask_id: int,
        rate: float = 0.15,
        padding_id: int = 0,
        kept_ids: Iterable[int] = (),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        self.mask_id = integer("mask_id", mask_id, "It is a token id.")
        self.rate = fraction("rate", rate)

    def augment(self, ids: Tensor, keys: Tensor) -> Tensor:
        masked = ops.logical_and(self.movable(ids), token_draws(keys, ids) <= self.rate)
        return ops.where(masked, self.mask_id, ids)

    def get_config(self) -> Config:
        return {**super().get_config(), "mask_id": self.mask_id, "rate": self.rate}
