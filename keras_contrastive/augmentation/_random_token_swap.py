"""Exchange tokens."""

import keras
from keras import ops

from keras_contrastive.augmentation._token_augmenter import (
    Amount,
    TokenAugmenter,
    draw_below,
    draw_columns,
    places_of,
    sum_where,
)


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomTokenSwap(TokenAugmenter):
    """Exchanges two random tokens of each row, `swaps` times.

    The two are never the same place. Rows with fewer than two tokens stay as they are. See `TokenAugmenter` for what
    the layer takes and returns.

    Args:
        swaps: Positive int, or a float in `(0, 1)`: that share of the row's tokens, at least one. Swaps follow each
            other, and each costs about one look at all tokens.
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids that keep their places.
        seed: Integer or `None`; see `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError, ValueError: `swaps` that is not as above.

    Reference:
        - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196), Sec. 2, random swap.

    Example:

    >>> layer = RandomTokenSwap(kept_ids=(101, 102))
    >>> keras.ops.convert_to_numpy(layer(np.array([[101, 7, 8, 102, 0]]), training=True)).tolist()
    [[101, 8, 7, 102, 0]]
    """

    def __init__(self, swaps=1, padding_id=0, kept_ids=(), seed=None, **kwargs):
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        self._amount = Amount("swaps", swaps)
        self.swaps = self._amount.given

    def augment(self, ids, keys):
        movable = self.movable(ids)  # as a swap moves movable tokens only, this stays true
        places, count = places_of(movable)
        wanted = ops.where(count > 1, self._amount.of(count), ops.zeros_like(count))
        most = self._amount.most(ids.shape[1])
        draws = draw_columns(keys, 2 * most)
        for swap in range(most):
            first = draw_below(draws[2 * swap], count)
            second = (first + 1 + draw_below(draws[2 * swap + 1], count - 1)) % ops.maximum(
                count, 1
            )
            due = ops.logical_and(movable, swap < wanted)
            is_first, is_second = (
                ops.logical_and(due, places == place) for place in (first, second)
            )
            exchanged = ops.where(is_second, sum_where(is_first, ids), ids)
            ids = ops.where(is_first, sum_where(is_second, ids), exchanged)
        return ids

    def get_config(self):
        return {**super().get_config(), "swaps": self.swaps}
