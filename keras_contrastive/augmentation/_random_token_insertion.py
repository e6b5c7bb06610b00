"""Random insertion of synonyms."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._base import draw_columns
from keras_contrastive.augmentation._synonym_table import Synonyms, SynonymTable
from keras_contrastive.augmentation._token_augmenter import (
    Amount,
    TokenAugmenter,
    draw_below,
    number_tokens,
    select_token,
)


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomTokenInsertion(TokenAugmenter):
    """Inserts a synonym of a random token before another random token, `insertions` times.

    The tokens behind it move right. A row does not change if none of its tokens has synonyms, or
    if it has no padding left. So no token is ever dropped. See `TokenAugmenter` for inputs and
    outputs.

    Args:
        table: Dict from token ids to lists of token ids, their synonyms. All synonyms of a token
            are equally likely.
        insertions: Positive int, or a float in (0, 1), a fraction of the tokens of the row, at
            least one token.
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids whose synonyms are not inserted. Nothing is inserted before them.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: If `table` is not such a dict.
        ValueError: If `table` is empty or has negative tokens, or if `insertions` is out of range.

    Reference:
        - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196), Sec. 2, random insertion.

    Example:

    >>> layer = RandomTokenInsertion({8: [80]}, kept_ids=(101, 102))
    >>> keras.ops.convert_to_numpy(layer(np.array([[101, 8, 102, 0]]), training=True)).tolist()
    [[101, 80, 8, 102]]
    """

    def __init__(
        self,
        table: Synonyms,
        insertions: float = 1,
        padding_id: int = 0,
        kept_ids: Iterable[int] = (),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        self._table = SynonymTable(table)
        self._amount = Amount("insertions", insertions)
        self.insertions = self._amount.value

    def augment(self, ids: Tensor, keys: Tensor) -> Tensor:
        wanted = self._amount.for_counts(number_tokens(self.movable(ids))[1])
        largest = self._amount.largest(ids.shape[1])
        draws = iter(draw_columns(keys, 3 * largest))
        for insertion in range(largest):
            source_draw, synonym_draw, position_draw = next(draws), next(draws), next(draws)
            ids = self._insert(ids, insertion < wanted, source_draw, synonym_draw, position_draw)
        return ids

    def _insert(
        self,
        ids: Tensor,
        active: Tensor,
        source_draw: Tensor,
        synonym_draw: Tensor,
        position_draw: Tensor,
    ) -> Tensor:
        movable = self.movable(ids)
        numbers, count = number_tokens(movable)
        has_synonyms = ops.logical_and(movable, self._table.count(ids) > 0)
        source_numbers, num_sources = number_tokens(has_synonyms)
        is_source = ops.logical_and(
            has_synonyms, source_numbers == draw_below(source_draw, num_sources)
        )
        inserted = self._table.draw(synonym_draw, select_token(is_source, ids))
        # The chosen token and all behind it move right by one, into the padding at the end.
        is_position = ops.logical_and(movable, numbers == draw_below(position_draw, count))
        moved = ops.cumsum(ops.cast(is_position, "int32"), axis=1) > 0
        shifted = ops.where(is_position, inserted, ops.roll(ids, 1, axis=1))
        has_room = ids[:, -1:] == self.padding_id
        active = ops.logical_and(active, ops.logical_and(has_room, num_sources > 0))
        return ops.where(ops.logical_and(active, moved), shifted, ids)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "table": self._table.get_config(),
            "insertions": self.insertions,
        }
