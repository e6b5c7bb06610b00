"""Synonyms of token ids, as dense arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_contrastive._checks import integer
from keras_contrastive._typing import Tensor
from keras_contrastive.augmentation._token_augmenter import as_ids, draw_below

# Largest id of a token with synonyms. The table has one row for each smaller id.
LARGEST_ID = 2**24 - 1

Synonyms = Mapping[int, Sequence[int]] | Sequence[tuple[int, Sequence[int]]]


class SynonymTable:
    """Synonyms of token ids: one array with all lists, and the start of the list of each id.

    Args:
        table: Dict from ids to lists of ids. Or a list of such pairs, the form in which the table
            is saved.

    Raises:
        TypeError: If `table` is neither a dict nor pairs, or if ids are not integers.
        ValueError: If `table` has no synonyms, negative ids, or an id twice.
    """

    def __init__(self, table: Synonyms) -> None:
        self.pairs = _as_pairs(table)
        # The last entry is 0. All larger ids use it.
        counts = np.zeros(max(token for token, _ in self.pairs) + 2, "int32")
        for token, synonyms in self.pairs:
            counts[token] = len(synonyms)
        self._counts = counts
        self._starts = (np.cumsum(counts) - counts).astype("int32")
        by_token = dict(self.pairs)
        self._synonyms = np.array(
            [synonym for token in sorted(by_token) for synonym in by_token[token]], "int32"
        )

    def get_config(self) -> list[list[Any]]:
        """Returns a list of pairs: an id and the list of its synonyms."""
        return [[token, list(synonyms)] for token, synonyms in self.pairs]

    def count(self, ids: Tensor) -> Tensor:
        """Returns the number of synonyms of each token."""
        return ops.take(ops.convert_to_tensor(self._counts), self._rows(ids), axis=0)

    def draw(self, draws: Tensor, ids: Tensor) -> Tensor:
        """Returns a synonym of each token. The result is arbitrary for tokens without synonyms.

        Args:
            draws: Numbers in (0, 1), of the shape of `ids`.
            ids: Token ids.
        """
        position = ops.take(ops.convert_to_tensor(self._starts), self._rows(ids), axis=0)
        position = ops.minimum(
            position + draw_below(draws, self.count(ids)), len(self._synonyms) - 1
        )
        synonyms = ops.take(ops.convert_to_tensor(self._synonyms), position, axis=0)
        return ops.cast(synonyms, ids.dtype)

    def _rows(self, ids: Tensor) -> Tensor:
        last = len(self._counts) - 1
        is_known = ops.logical_and(ids >= 0, ids < last)
        return ops.cast(ops.where(is_known, ids, last), "int32")


def _as_pairs(table: Any) -> tuple[tuple[int, tuple[int, ...]], ...]:
    expected = "`table` must be a dict from token ids to lists of token ids, their synonyms"
    if not isinstance(table, (Mapping, list, tuple)):
        raise TypeError(f"{expected}. Received: table={table!r}.")
    try:
        items = list(table.items()) if isinstance(table, Mapping) else [(a, b) for a, b in table]
    except (TypeError, ValueError) as error:
        raise TypeError(f"{expected}. Received: table={table!r}.") from error
    hint = "It contains token ids."
    pairs = [(integer("table", token, hint), as_ids("table", others)) for token, others in items]
    pairs = [(token, synonyms) for token, synonyms in pairs if synonyms]
    tokens = [token for token, _ in pairs]
    if not pairs or min(tokens) < 0 or max(tokens) > LARGEST_ID or len(set(tokens)) < len(tokens):
        span = f", from {min(tokens)} to {max(tokens)}" if pairs else ""
        raise ValueError(
            f"{expected}: at least one token, each token once, tokens in [0, {LARGEST_ID}]. "
            f"Received: {len(pairs)} tokens with synonyms{span}."
        )
    return tuple(pairs)
