"""Distinct rows of one modality: a repeated input of an item counts once."""

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Sequence

import keras
import numpy as np

from keras_contrastive._typing import Array, ArrayLike, Structure
from keras_contrastive.evaluation._inputs import as_array, float_array

# Two embeddings of one input may differ by rounding if they are in different batches.
_ROUNDING = 1e-5


class Digests:
    """Digests of the rows of an input, which are computed when they are needed, once.

    Args:
        inputs: Arrays of one modality, or any other object.
        name: The name of the inputs, for messages.
    """

    def __init__(self, inputs: Structure, name: str) -> None:
        self._leaves = keras.tree.flatten(inputs)
        self._name = name
        self._digests: list[bytes] | None = None

    def __call__(self, num_rows: int) -> list[bytes] | None:
        """Returns the digest of each row, or `None` if there are not so many rows."""
        if any(tuple(getattr(leaf, "shape", ()))[:1] != (num_rows,) for leaf in self._leaves):
            return None
        if self._digests is None:
            arrays = [as_array(leaf, self._name) for leaf in self._leaves]
            self._digests = [_digest(arrays, row) for row in range(num_rows)]
        return self._digests


@dataclasses.dataclass(frozen=True)
class Side:
    """The rows of one modality of a corpus.

    Args:
        embeddings: Float array `(rows, dim)`.
        ids: Int array `(rows,)`.
        present: Bool array `(rows,)`, which rows have the modality, or `None` for all.
        digests: Function that returns a digest of the input of each row, or `None` if the inputs
            are not known.
    """

    embeddings: ArrayLike
    ids: Array
    present: Array | None
    digests: Callable[[], Sequence[bytes] | None]

    def rows(self) -> Array:
        """Returns the numbers of the present rows."""
        return np.arange(len(self.ids)) if self.present is None else np.flatnonzero(self.present)

    def distinct_rows(self) -> Array:
        """Returns the numbers of the present rows, without later rows of equal id and input.

        Without inputs, it compares embeddings.
        """
        rows = self.rows()
        _, places, counts = np.unique(self.ids[rows], return_inverse=True, return_counts=True)
        repeated = rows[counts[places] > 1]
        if not len(repeated):
            return rows
        digests = self.digests()
        if digests is None:
            later = _equal_to_an_earlier(repeated, self.ids, self.embeddings)
        else:
            keys = [(int(self.ids[row]), digests[row]) for row in repeated]
            first = dict(zip(reversed(keys), repeated[::-1], strict=True))
            later = np.setdiff1d(repeated, list(first.values()))
        return np.setdiff1d(rows, later)

    def num_repeated_inputs(self) -> int:
        """Returns the number of present rows whose input is that of an earlier row."""
        digests = self.digests()
        rows = self.rows()
        return 0 if digests is None else len(rows) - len({digests[row] for row in rows})


def joined(sides: Sequence[Side]) -> Side:
    """Returns the rows of several sides, one after the other."""
    if len(sides) == 1:
        return sides[0]
    present = None
    if any(side.present is not None for side in sides):
        present = np.concatenate(
            [
                np.ones(len(side.ids), bool) if side.present is None else side.present
                for side in sides
            ]
        )

    def digests() -> list[bytes] | None:
        parts = [side.digests() for side in sides]
        found = [part for part in parts if part is not None]
        return list(itertools.chain(*found)) if len(found) == len(parts) else None

    return Side(
        np.concatenate([float_array(side.embeddings, "embeddings") for side in sides]),
        np.concatenate([side.ids for side in sides]),
        present,
        digests,
    )


def _digest(arrays: Sequence[Array], row: int) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        value = np.asarray(array[row])
        is_text = value.dtype.kind in "OUS"
        digest.update(repr(value.tolist()).encode() if is_text else value.tobytes())
    return digest.digest()


def _equal_to_an_earlier(rows: Array, ids: Array, embeddings: ArrayLike) -> Array:
    """Returns the rows whose embedding equals that of an earlier row with the same id."""
    vectors = float_array(embeddings, "embeddings")[rows]
    size = np.abs(vectors).max(axis=1, keepdims=True)
    vectors = vectors / np.where(size > 0, size, 1)
    first: dict[int, list[int]] = {}
    later = []
    for place, row in enumerate(rows):
        known = first.setdefault(int(ids[row]), [])
        distances = np.abs(vectors[known] - vectors[place]).max(axis=1)
        if known and (distances <= _ROUNDING).any():
            later.append(row)
        else:
            known.append(place)
    return np.array(later, "int64")
