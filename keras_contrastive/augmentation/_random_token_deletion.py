"""Random deletion of tokens."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_contrastive._checks import fraction
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._token_augmenter import TokenAugmenter, token_draws


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomTokenDeletion(TokenAugmenter):
    """Deletes each token with probability `rate`. The remaining tokens move left.

    At least one deletable token of a row remains: the one with the largest draw. See
    `TokenAugmenter` for inputs and outputs.

    Args:
        rate: Float in [0, 1], the probability that a token is deleted.
        padding_id: Integer, the id after the last token of a row. Padding between tokens moves to
            the end as well.
        kept_ids: Integers, ids that are never deleted.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        ValueError: If `rate` is outside [0, 1].

    Reference:
        - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196), Sec. 2, random deletion.

    Example:

    >>> layer = RandomTokenDeletion(rate=1.0, kept_ids=(101, 102), seed=1)
    >>> ids = np.array([[101, 7, 8, 9, 102, 0]])
    >>> keras.ops.convert_to_numpy(layer(ids, training=True)).tolist()
    [[101, 9, 102, 0, 0, 0]]
    """

    def __init__(
        self,
        rate: float = 0.1,
        padding_id: int = 0,
        kept_ids: Iterable[int] = (),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        self.rate = fraction("rate", rate)

    def augment(self, ids: Tensor, keys: Tensor) -> Tensor:
        movable = self.movable(ids)
        draws = ops.where(movable, token_draws(keys, ids), 0.0)
        largest = ops.max(draws, axis=1, keepdims=True)
        deleted = ops.logical_and(movable, ops.logical_and(draws <= self.rate, draws < largest))
        remains = ops.logical_and(ids != self.padding_id, ops.logical_not(deleted))
        positions = ops.arange(ids.shape[1], dtype="int32")
        order = ops.argsort(ops.where(remains, positions, positions + ids.shape[1]), axis=1)
        count = ops.sum(ops.cast(remains, "int32"), axis=1, keepdims=True)
        moved = ops.take_along_axis(ids, order, axis=1)
        return ops.where(positions < count, moved, self.padding_id)

    def get_config(self) -> Config:
        return {**super().get_config(), "rate": self.rate}
