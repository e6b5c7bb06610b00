"""Hide tokens."""

import keras
from keras import ops

from keras_contrastive.augmentation._base import as_rate
from keras_contrastive.augmentation._token_augmenter import TokenAugmenter, as_id, token_draws


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomTokenMasking(TokenAugmenter):
    """Replaces each token by `mask_id` with probability `rate`.

    See `TokenAugmenter` for what the layer takes and returns.

    Args:
        mask_id: Integer, the id of `[MASK]`.
        rate: In `[0, 1]`, probability that a token is hidden.
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids that are never hidden.
        seed: Integer or `None`; see `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: `mask_id` that is not an integer.
        ValueError: `rate` outside `[0, 1]`.

    Reference:
        - [Devlin et al., 2019](https://arxiv.org/abs/1810.04805), Sec. 3.1: 15 % (of which BERT leaves and replaces
          some; here all are hidden).

    Example:

    >>> layer = RandomTokenMasking(mask_id=103, rate=1.0, kept_ids=(101, 102))
    >>> keras.ops.convert_to_numpy(layer(np.array([[101, 7, 8, 102, 0]]), training=True)).tolist()
    [[101, 103, 103, 102, 0]]
    """

    def __init__(self, mask_id, rate=0.15, padding_id=0, kept_ids=(), seed=None, **kwargs):
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        self.mask_id = as_id("mask_id", mask_id)
        self.rate = as_rate("rate", rate)

    def augment(self, ids, keys):
        hidden = ops.logical_and(self.movable(ids), token_draws(keys, ids) <= self.rate)
        return ops.where(hidden, self.mask_id, ids)

    def get_config(self):
        return {**super().get_config(), "mask_id": self.mask_id, "rate": self.rate}
