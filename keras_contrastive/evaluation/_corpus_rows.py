"""The rows of a corpus of several modalities: their ids, missing rows and repeated rows."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_contrastive._typing import Array, ArrayLike, Structure
from keras_contrastive.evaluation._inputs import (
    as_array,
    checked_integers,
    float_array,
    rows_of,
)

# Two embeddings of one input may differ by rounding if they are in different batches.
_ROUNDING = 1e-5


def checked_ids(x: Structure, ids: Any, takes_arrays: bool) -> Array | dict[str, Array] | None:
    """Returns the ids of a corpus as int arrays: `None`, one for all modalities, or by modality.

    Args:
        x: The inputs. If `takes_arrays`, a dict of arrays.
        ids: The value to check.
        takes_arrays: Whether the rows of `x` are those of the embeddings.
    """
    sizes: dict[str, int | None] = {}
    if takes_arrays:
        if not isinstance(x, Mapping) or len(x) < 2:
            received = f"a dict of {len(x)}" if isinstance(x, Mapping) else f"`{type(x).__name__}`"
            raise TypeError(
                "`x` must be a dict of at least two modalities, each an array. "
                f"Received: {received}. Pass `embed` for a model with other inputs."
            )
        sizes = {name: rows_of(inputs, f"x[{name!r}]") for name, inputs in x.items()}
    if isinstance(ids, Mapping):
        if len(ids) < 2 or (sizes and not set(ids) <= set(sizes)):
            raise ValueError(
                "`ids` must be an array, or a dict of arrays by modality, at least two. "
                f"Received: {', '.join(map(repr, ids)) or 'an empty dict'}"
                f"{', while `x` has ' + ', '.join(map(repr, sizes)) if sizes else ''}."
            )
        return {
            name: checked_integers(values, sizes.get(name), (f"x[{name!r}]", f"ids[{name!r}]"))
            for name, values in ids.items()
        }
    if len(set(sizes.values())) > 1:
        received = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(
            f"`x` must have the same number of rows for all modalities. Received: {received}. "
            "If an item has several rows, such as captions of an image, pass `ids` by modality: "
            '`ids={"image": image_ids, "text": image_ids_of_the_captions}`.'
        )
    rows = next(iter(sizes.values()), None)
    return None if ids is None else checked_integers(ids, rows, ("x", "ids"))


def ids_by_modality(
    ids: Array | Mapping[str, Array] | None, embeddings: Mapping[str, ArrayLike]
) -> dict[str, Array]:
    """Returns the ids of the rows of each modality.

    Args:
        ids: The result of `checked_ids`.
        embeddings: Arrays `(rows, dim)` by modality.
    """
    sizes = {name: len(rows) for name, rows in embeddings.items()}
    received = ", ".join(f"{name} {size}" for name, size in sizes.items())
    if ids is None and len(set(sizes.values())) > 1:
        raise ValueError(
            "`ids` must be a dict of arrays by modality if the numbers of embeddings differ. "
            f"Received: ids=None, embeddings {received}."
        )
    by_modality: dict[str, Array] = {}
    for name, size in sizes.items():
        values = ids.get(name) if isinstance(ids, Mapping) else ids
        if ids is None:
            values = np.arange(size)
        if values is None or len(values) != size:
            found = "none" if values is None else f"{len(values)}"
            raise ValueError(
                "`ids` must have one id for each embedding. "
                f"Received: {found} for {name!r}, embeddings {received}."
            )
        by_modality[name] = values
    return by_modality


def present_rows(x: Structure, modality: str, presence_inputs: Mapping[str, str]) -> Array | None:
    """Returns which rows have a modality, bool `(rows,)`, or `None` if all have it.

    Args:
        x: The inputs. Presence inputs that are not in it are ignored.
        modality: The name of the modality.
        presence_inputs: Modalities by the names of presence inputs.
    """
    names = [name for name, of in presence_inputs.items() if of == modality]
    names = [name for name in names if isinstance(x, Mapping) and name in x]
    if not names:
        return None
    masks = []
    for name in names:
        mask = as_array(x[name], f"x[{name!r}]")
        if mask.size != len(mask) or mask.dtype.kind not in "biuf" or np.isnan(mask).any():
            raise ValueError(
                f"`x[{name!r}]` must be bools with the shape (rows,). "
                f"Received: shape {mask.shape}, dtype {mask.dtype}."
            )
        masks.append(mask.reshape(-1).astype(bool))
    return np.all(masks, axis=0)


class DistinctRows:
    """Finds the rows of each modality that stand for an input of an item.

    Args:
        x: The inputs. Rows are compared by `x[modality]` if its rows are those of the embeddings,
            else by their embeddings.
        warn: Whether to warn, once, if inputs are repeated. Use it if each row has its own id.
    """

    def __init__(self, x: Structure, warn: bool) -> None:
        self._x = x
        self._warn = warn
        self._digests: dict[str, list[bytes]] = {}

    def of(self, modality: str, ids: Array, embeddings: ArrayLike, present: Array | None) -> Array:
        """Returns the numbers of the present rows, without later rows of equal id and input.

        Args:
            modality: The name of the modality.
            ids: Int array `(rows,)`.
            embeddings: Array `(rows, dim)`.
            present: Bool array `(rows,)`, or `None` if all rows are present.
        """
        rows = np.arange(len(ids)) if present is None else np.flatnonzero(present)
        if present is not None and len(present) != len(ids):
            raise ValueError(
                f"Presence inputs of {modality!r} must have one value for each row. "
                f"Received: {len(present)} values for {len(ids)} rows."
            )
        _, places, counts = np.unique(ids[rows], return_inverse=True, return_counts=True)
        repeated = rows[counts[places] > 1]
        if not len(repeated) and not self._warn:
            return rows
        digests = self._digests_of(modality, len(ids))
        if self._warn:
            self._warn_of_repeated_inputs(modality, rows, digests)
            return rows
        if digests is None:
            later = _equal_to_an_earlier(repeated, ids, embeddings)
        else:
            keys = [(int(ids[row]), digests[row]) for row in repeated]
            first = dict(zip(reversed(keys), repeated[::-1], strict=True))
            later = np.setdiff1d(repeated, list(first.values()))
        return np.setdiff1d(rows, later)

    def _digests_of(self, modality: str, num_rows: int) -> list[bytes] | None:
        """Returns a digest of the input of each row, or `None` if the inputs have other rows."""
        if modality not in self._digests:
            if not isinstance(self._x, Mapping) or modality not in self._x:
                return None
            leaves = keras.tree.flatten(self._x[modality])
            if any(tuple(getattr(leaf, "shape", ()))[:1] != (num_rows,) for leaf in leaves):
                return None
            arrays = [as_array(leaf, f"x[{modality!r}]") for leaf in leaves]
            self._digests[modality] = [_digest(arrays, row) for row in range(num_rows)]
        return self._digests[modality]

    def _warn_of_repeated_inputs(
        self, modality: str, rows: Array, digests: list[bytes] | None
    ) -> None:
        if digests is None:
            return
        count = len(rows) - len({digests[row] for row in rows})
        if count:
            self._warn = False
            warnings.warn(
                f"`x[{modality!r}]` has {count} rows that repeat other rows, and without `ids`, "
                "each row is an item of its own. Pass `ids` that are equal for rows of one item, "
                "such as an image and its captions.",
                stacklevel=2,
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
