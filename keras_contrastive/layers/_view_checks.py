"""Checks of the call arguments of regularizers."""

from collections.abc import Collection
from typing import Any

import numpy as np
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import as_column, check_ids, dtype_name, is_on_host
from keras_contrastive._typing import Tensor
from keras_contrastive._view_names import AUGMENTED, modality_name


def check_views(views: Any) -> None:
    """Raises unless `views` is a dict of embeddings of one shape."""
    if not isinstance(views, dict) or not views:
        raise TypeError(
            "`views` must be a dict from names of modalities to embeddings `(batch, dim)`. "
            f'Received: {type(views).__name__}. Name augmented views "<modality>{AUGMENTED}".'
        )
    for name, view in views.items():
        dtype = dtype_name(view)
        if not dtype.startswith(("float", "bfloat")):
            raise TypeError(
                "`views` must contain floating-point embeddings. "
                f"Received: {name} with dtype {dtype}."
            )
        modality = modality_name(name)
        if modality not in views:
            raise ValueError(
                f"`views` must contain {modality!r}, since it contains {name!r}. Received: "
                f"{', '.join(views)}."
            )
    shapes = {name: tuple(view.shape) for name, view in views.items()}
    if any(len(shape) != 2 for shape in shapes.values()):
        raise ValueError(
            f"`views` must contain tensors `(batch, dim)`. Received: {_checks.listing(shapes)}."
        )
    _checks.same_shape(
        shapes, "Embeddings of all views", "Add a projector with equal output sizes."
    )


def check_present(present: Any, modalities: Collection[str]) -> None:
    """Raises unless `present` is `None` or a dict whose keys are modalities."""
    if present is not None and not isinstance(present, dict):
        raise TypeError(
            "`present` must be `None` or a dict from modalities to bool tensors `(batch,)`. "
            f"Received: {type(present).__name__}."
        )
    _checks.known_names("present", present or (), modalities, "names of modalities")


def integer_ids(ids: Any, num_rows: int | None) -> Tensor:
    """Returns ids as int32 `(batch,)`.

    Raises:
        TypeError: If they are not integers.
        ValueError: If there is not one per row, or one in an array is out of range.
    """
    dtype = dtype_name(ids)
    if not dtype.startswith(("int", "uint")):
        raise TypeError(f"`ids` must be integers `(batch,)`. Received: ids with dtype {dtype}.")
    if is_on_host(ids):
        check_ids(np.asarray(ids))
    return as_column("ids", ops.cast(ids, "int32"), num_rows, "id")
