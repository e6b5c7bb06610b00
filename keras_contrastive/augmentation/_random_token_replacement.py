"""Random replacement of tokens by synonyms."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_contrastive._checks import fraction
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._base import part_keys
from keras_contrastive.augmentation._synonym_table import Synonyms, SynonymTable
from keras_contrastive.augmentation._token_augmenter import TokenAugmenter, token_draws


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomTokenReplacement(TokenAugmenter):
    """Replaces each token that has synonyms by one of them with probability `rate`.

    Tokens without synonyms do not change. The configuration contains the table. See
    `TokenAugmenter` for inputs and outputs.

    Args:
        table: Dict from token ids to lists of token ids, their synonyms. All synonyms of a token
            are equally likely.
        rate: Float in [0, 1], the probability that a token with synonyms is replaced.
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids that are never replaced.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: If `table` is not such a dict.
        ValueError: If `table` is empty or has negative tokens, or if `rate` is outside [0, 1].

    Reference:
        - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196), Sec. 2, synonym replacement.

    Example:

    >>> layer = RandomTokenReplacement({7: [70], 8: [80]}, rate=1.0)
    >>> keras.ops.convert_to_numpy(layer(np.array([[7, 8, 9, 0]]), training=True)).tolist()
    [[70, 80, 9, 0]]
    """

    def __init__(
        self,
        table: Synonyms,
        rate: float = 0.1,
        padding_id: int = 0,
        kept_ids: Iterable[int] = (),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        self._table = SynonymTable(table)
        self.rate = fraction("rate", rate)

    def augment(self, ids: Tensor, keys: Tensor) -> Tensor:
        has_synonyms = ops.logical_and(self.movable(ids), self._table.count(ids) > 0)
        replaced = ops.logical_and(has_synonyms, token_draws(keys, ids) <= self.rate)
        synonyms = self._table.draw(token_draws(part_keys(keys, "synonym"), ids), ids)
        return ops.where(replaced, synonyms, ids)

    def get_config(self) -> Config:
        return {**super().get_config(), "table": self._table.get_config(), "rate": self.rate}
