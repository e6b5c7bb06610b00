"""The rows of a corpus of several modalities: their ids and missing rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_contrastive._typing import Array, ArrayLike, Structure
from keras_contrastive.evaluation._inputs import (
    as_array,
    checked_integers,
    rows_of,
)

_COUNTS = {1: "one modality", 2: "two modalities"}


def checked_ids(
    x: Structure,
    ids: Any,
    takes_arrays: bool,
    names: tuple[str, str] = ("x", "ids"),
    fewest: int = 2,
) -> Array | dict[str, Array] | None:
    """Returns the ids of a corpus as int arrays: `None`, one for all modalities, or by modality.

    Args:
        x: The inputs. If `takes_arrays`, a dict of arrays.
        ids: The value to check.
        takes_arrays: Whether the rows of `x` are those of the embeddings.
        names: The names of `x` and `ids`, for messages.
        fewest: The smallest number of modalities, 1 or 2.
    """
    what, which = names
    sizes: dict[str, int | None] = {}
    if takes_arrays:
        if not isinstance(x, Mapping) or len(x) < fewest:
            received = f"a dict of {len(x)}" if isinstance(x, Mapping) else f"`{type(x).__name__}`"
            raise TypeError(
                f"`{what}` must be a dict of at least {_COUNTS[fewest]}, each an array, or a data "
                f"set. Received: {received}. Pass `embed` for a model with other inputs."
            )
        sizes = {name: rows_of(inputs, f"{what}[{name!r}]") for name, inputs in x.items()}
    if isinstance(ids, Mapping):
        if len(ids) < fewest or (sizes and not set(ids) <= set(sizes)):
            raise ValueError(
                f"`{which}` must be an array, or a dict of arrays by modality, at least "
                f"{_COUNTS[fewest]}. Received: {', '.join(map(repr, ids)) or 'an empty dict'}"
                f"{f', while `{what}` has ' + ', '.join(map(repr, sizes)) if sizes else ''}."
            )
        return {
            name: checked_integers(
                values, sizes.get(name), (f"{what}[{name!r}]", f"{which}[{name!r}]")
            )
            for name, values in ids.items()
        }
    if len(set(sizes.values())) > 1:
        received = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(
            f"`{what}` must have the same number of rows for all modalities. Received: {received}. "
            f"If an item has several rows, such as captions of an image, pass `{which}` by "
            f'modality: `{which}={{"image": image_ids, "text": image_ids_of_the_captions}}`.'
        )
    rows = next(iter(sizes.values()), None)
    return None if ids is None else checked_integers(ids, rows, names)


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
