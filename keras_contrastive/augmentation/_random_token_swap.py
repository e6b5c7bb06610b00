"""Random swaps of tokens."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._base import draw_columns
from keras_contrastive.augmentation._token_augmenter import (
    Amount,
    TokenAugmenter,
    draw_below,
    number_tokens,
    select_token,
)


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomTokenSwap(TokenAugmenter):
    """Swaps two random tokens of each row, `swaps` times.

    The two positions of a swap are always different. Rows with fewer than two movable tokens do
    not change. See `TokenAugmenter` for inputs and outputs.

    Args:
        swaps: Positive int, or a float in (0, 1), a fraction of the tokens of the row, at least
            one swap. Swaps are applied one after the other. Each reads all tokens once.
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids that keep their positions.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: If `swaps` is not a number.
        ValueError: If `swaps` is out of range.

    Reference:
        - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196), Sec. 2, random swap.

    Example:

    >>> layer = RandomTokenSwap(kept_ids=(101, 102))
    >>> keras.ops.convert_to_numpy(layer(np.array([[101, 7, 8, 102, 0]]), training=True)).tolist()
    [[101, 8, 7, 102, 0]]
    """

    def __init__(
        self,
        swaps: float = 1,
        padding_id: int = 0,
        kept_ids: Iterable[int] = (),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        self._amount = Amount("swaps", swaps)
        self.swaps = self._amount.value

    def augment(self, ids: Tensor, keys: Tensor) -> Tensor:
        # A swap moves movable tokens to movable positions, so the mask holds for all swaps.
        movable = self.movable(ids)
        numbers, count = number_tokens(movable)
        wanted = ops.where(count > 1, self._amount.for_counts(count), ops.zeros_like(count))
        largest = self._amount.largest(ids.shape[1])
        draws = iter(draw_columns(keys, 2 * largest))
        for swap in range(largest):
            first_draw, distance_draw = next(draws), next(draws)
            first = draw_below(first_draw, count)
            distance = 1 + draw_below(distance_draw, count - 1)
            second = (first + distance) % ops.maximum(count, 1)
            active = ops.logical_and(movable, swap < wanted)
            is_first = ops.logical_and(active, numbers == first)
            is_second = ops.logical_and(active, numbers == second)
            swapped = ops.where(is_second, select_token(is_first, ids), ids)
            ids = ops.where(is_first, select_token(is_second, ids), swapped)
        return ids

    def get_config(self) -> Config:
        return {**super().get_config(), "swaps": self.swaps}
