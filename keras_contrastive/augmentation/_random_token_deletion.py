"""Leave tokens out."""

import keras
from keras import ops

from keras_contrastive.augmentation._base import as_rate
from keras_contrastive.augmentation._token_augmenter import TokenAugmenter, token_draws


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomTokenDeletion(TokenAugmenter):
    """Deletes each token with probability `rate`; those that stay move left, padding fills up.

    Of the tokens that may be deleted, one always stays: the one with the luckiest draw. See `TokenAugmenter` for what
    the layer takes and returns.

    Args:
        rate: In `[0, 1]`, probability that a token is deleted.
        padding_id: Integer, the id after the last token of a row. Padding between tokens moves to the end, too.
        kept_ids: Integers, ids that are never deleted.
        seed: Integer or `None`; see `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        ValueError: `rate` outside `[0, 1]`.

    Reference:
        - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196), Sec. 2, random deletion.

    Example:

    >>> layer = RandomTokenDeletion(rate=1.0, kept_ids=(101, 102), seed=1)
    >>> keras.ops.convert_to_numpy(layer(np.array([[101, 7, 8, 9, 102, 0]]), training=True)).tolist()
    [[101, 9, 102, 0, 0, 0]]
    """

    def __init__(self, rate=0.1, padding_id=0, kept_ids=(), seed=None, **kwargs):
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        self.rate = as_rate("rate", rate)

    def augment(self, ids, keys):
        movable = self.movable(ids)
        draws = ops.where(movable, token_draws(keys, ids), 0.0)
        luckiest = ops.max(draws, axis=1, keepdims=True)
        deleted = ops.logical_and(movable, ops.logical_and(draws <= self.rate, draws < luckiest))
        stays = ops.logical_and(ids != self.padding_id, ops.logical_not(deleted))
        places = ops.arange(ids.shape[1], dtype="int32")
        order = ops.argsort(ops.where(stays, places, places + ids.shape[1]), axis=1)
        left = ops.sum(ops.cast(stays, "int32"), axis=1, keepdims=True)
        return ops.where(places < left, ops.take_along_axis(ids, order, axis=1), self.padding_id)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
