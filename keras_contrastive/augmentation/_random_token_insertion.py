"""Insert synonyms."""

import keras
from keras import ops

from keras_contrastive.augmentation._synonym_table import SynonymTable
from keras_contrastive.augmentation._token_augmenter import (
    Amount,
    TokenAugmenter,
    draw_below,
    draw_columns,
    places_of,
    sum_where,
)


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomTokenInsertion(TokenAugmenter):
    """Inserts a synonym of a random token of the row before another random token, `insertions` times.

    What follows moves right. Rows stay as they are where no token has synonyms or no padding is left to make room, so
    that nothing ever falls off the end. See `TokenAugmenter` for what the layer takes and returns.

    Args:
        table: Dict from a token id to the list of ids that may stand for it, each with equal chance.
        insertions: Positive int, or a float in `(0, 1)`: that share of the row's tokens, at least one.
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids whose synonyms are not inserted, and before which nothing is.
        seed: Integer or `None`; see `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: A `table` that is no such dict.
        ValueError: An empty `table`, negative tokens in it, `insertions` that is not as above.

    Reference:
        - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196), Sec. 2, random insertion.

    Example:

    >>> layer = RandomTokenInsertion({8: [80]}, kept_ids=(101, 102))
    >>> keras.ops.convert_to_numpy(layer(np.array([[101, 8, 102, 0]]), training=True)).tolist()
    [[101, 80, 8, 102]]
    """

    def __init__(self, table, insertions=1, padding_id=0, kept_ids=(), seed=None, **kwargs):
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        self._table = SynonymTable(table)
        self._amount = Amount("insertions", insertions)
        self.insertions = self._amount.given

    def augment(self, ids, keys):
        wanted = self._amount.of(places_of(self.movable(ids))[1])
        most = self._amount.most(ids.shape[1])
        draws = draw_columns(keys, 3 * most)
        for insertion in range(most):
            ids = self._insert(ids, insertion < wanted, *draws[3 * insertion : 3 * insertion + 3])
        return ids

    def _insert(self, ids, due, which, synonym, where):
        movable = self.movable(ids)
        places, count = places_of(movable)
        has_synonyms = ops.logical_and(movable, self._table.count(ids) > 0)
        sources, num_sources = places_of(has_synonyms)
        source = sum_where(
            ops.logical_and(has_synonyms, sources == draw_below(which, num_sources)), ids
        )
        inserted = self._table.draw(synonym, source)
        # From the chosen token on, everything moves right by one, into the padding at the end.
        before = ops.logical_and(movable, places == draw_below(where, count))
        moved = ops.cumsum(ops.cast(before, "int32"), axis=1) > 0
        shifted = ops.where(before, inserted, ops.roll(ids, 1, axis=1))
        has_room = ids[:, -1:] == self.padding_id
        due = ops.logical_and(due, ops.logical_and(has_room, num_sources > 0))
        return ops.where(ops.logical_and(due, moved), shifted, ids)

    def get_config(self):
        return {
            **super().get_config(),
            "table": self._table.get_config(),
            "insertions": self.insertions,
        }
