"""Which tokens may stand for which, as dense arrays."""

import numpy as np
from keras import ops

from keras_contrastive.augmentation._token_augmenter import as_id, as_ids, draw_below

LARGEST_ID = 2**24 - 1  # of a token with synonyms: the table has a row for each id below


class SynonymTable:
    """Synonyms of token ids: all lists in one array, and for each id where its list starts.

    Args:
        table: Dict from ids to lists of ids, or a list of such pairs, as it is saved.

    Raises:
        TypeError: Neither a dict nor pairs; ids that are not integers.
        ValueError: No synonym at all, negative ids, an id listed twice.
    """

    def __init__(self, table):
        self.pairs = _as_pairs(table)
        counts = np.zeros(max(token for token, _ in self.pairs) + 2, "int32")
        for token, synonyms in self.pairs:
            counts[token] = len(synonyms)
        self._counts = counts  # the last entry is 0, for every larger id
        self._starts = (np.cumsum(counts) - counts).astype("int32")
        by_token = dict(self.pairs)
        self._synonyms = np.array(
            [synonym for token in sorted(by_token) for synonym in by_token[token]], "int32"
        )

    def get_config(self):
        """Lists of an id and the list of its synonyms."""
        return [[token, list(synonyms)] for token, synonyms in self.pairs]

    def count(self, ids):
        """The number of synonyms of each token."""
        return ops.take(ops.convert_to_tensor(self._counts), self._rows(ids), axis=0)

    def draw(self, draws, ids):
        """A synonym of each token, by draws from (0, 1); anything where there is none."""
        place = ops.take(ops.convert_to_tensor(self._starts), self._rows(ids), axis=0)
        place = ops.minimum(place + draw_below(draws, self.count(ids)), len(self._synonyms) - 1)
        return ops.cast(ops.take(ops.convert_to_tensor(self._synonyms), place, axis=0), ids.dtype)

    def _rows(self, ids):
        last = len(self._counts) - 1
        known = ops.logical_and(ids >= 0, ids < last)
        return ops.cast(ops.where(known, ids, last), "int32")


def _as_pairs(table):
    expected = "`table` must be a dict from token ids to lists of token ids, their synonyms"
    if not isinstance(table, (dict, list, tuple)):
        raise TypeError(f"{expected}. Received: table={table!r}.")
    try:
        pairs = [
            (token, synonyms)
            for token, synonyms in (table.items() if isinstance(table, dict) else table)
        ]
    except (TypeError, ValueError) as error:
        raise TypeError(f"{expected}. Received: table={table!r}.") from error
    pairs = [(as_id("table", token), as_ids("table", synonyms)) for token, synonyms in pairs]
    pairs = [(token, synonyms) for token, synonyms in pairs if synonyms]
    tokens = [token for token, _ in pairs]
    if not pairs or min(tokens) < 0 or max(tokens) > LARGEST_ID or len(set(tokens)) < len(tokens):
        raise ValueError(
            f"{expected}: at least one, each token once, tokens in [0, {LARGEST_ID}]. Received: {len(pairs)} tokens "
            f"with synonyms{f', from {min(tokens)} to {max(tokens)}' if pairs else ''}."
        )
    return tuple(pairs)
