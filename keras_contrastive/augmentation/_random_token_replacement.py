"""Replace tokens by synonyms."""

import keras
from keras import ops

from keras_contrastive.augmentation._base import as_rate, keys_of_part
from keras_contrastive.augmentation._synonym_table import SynonymTable
from keras_contrastive.augmentation._token_augmenter import TokenAugmenter, token_draws


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomTokenReplacement(TokenAugmenter):
    """Replaces each token that has synonyms by one of them, with probability `rate`.

    Tokens without synonyms stay. The table is saved in the configuration. See `TokenAugmenter` for what the layer
    takes and returns.

    Args:
        table: Dict from a token id to the list of ids that may stand for it, each with equal chance.
        rate: In `[0, 1]`, probability that a token with synonyms is replaced.
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids that are never replaced.
        seed: Integer or `None`; see `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: A `table` that is no such dict.
        ValueError: An empty `table`, negative tokens in it, `rate` outside `[0, 1]`.

    Reference:
        - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196), Sec. 2, synonym replacement.

    Example:

    >>> layer = RandomTokenReplacement({7: [70], 8: [80]}, rate=1.0)
    >>> keras.ops.convert_to_numpy(layer(np.array([[7, 8, 9, 0]]), training=True)).tolist()
    [[70, 80, 9, 0]]
    """

    def __init__(self, table, rate=0.1, padding_id=0, kept_ids=(), seed=None, **kwargs):
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        self._table = SynonymTable(table)
        self.rate = as_rate("rate", rate)

    def augment(self, ids, keys):
        has_synonyms = ops.logical_and(self.movable(ids), self._table.count(ids) > 0)
        replaced = ops.logical_and(has_synonyms, token_draws(keys, ids) <= self.rate)
        synonyms = self._table.draw(token_draws(keys_of_part(keys, "synonym"), ids), ids)
        return ops.where(replaced, synonyms, ids)

    def get_config(self):
        return {**super().get_config(), "table": self._table.get_config(), "rate": self.rate}
