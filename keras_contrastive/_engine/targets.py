"""Conversion and checks of the arguments of a loss: embeddings, ids, weights, presence."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._typing import ArrayLike, Tensor

_LARGEST_ID = 2**31 - 1


def as_embeddings(x: ArrayLike, name: str, ranks: Sequence[int] = (2,)) -> Tensor:
    """Returns embeddings as a tensor.

    Raises:
        TypeError: If they are not floating point.
        ValueError: If their rank is not one of `ranks`.
    """
    dtype = _dtype(x)
    if not _is_float(dtype):
        raise TypeError(f"Embeddings must be floating point. Received: {name} with dtype {dtype}.")
    x = ops.convert_to_tensor(x)
    if len(x.shape) not in ranks:
        shapes = {2: "(batch, dim)", 3: "(batch, views, dim)"}
        expected = " or ".join(shapes[rank] for rank in ranks)
        raise ValueError(
            f"Embeddings must have the shape {expected}. Received: {name} {tuple(x.shape)}. "
            "End the encoder with a pooling layer, such as `GlobalAveragePooling1D`."
        )
    return x


def embeddings_and_targets(y_true: Any, y_pred: Any) -> tuple[dict[str, Tensor], Any]:
    """Returns the views of a single tensor, and the ids that remain of `y_true`."""
    y_pred = as_embeddings(y_pred, "y_pred", ranks=(2, 3))
    if len(y_pred.shape) == 3:
        return {
            f"y_pred[:, {i}]": view for i, view in enumerate(ops.unstack(y_pred, axis=1))
        }, y_true
    if y_true is None or not _is_float(_dtype(y_true)):
        return {"y_pred": y_pred}, y_true
    y_true = ops.convert_to_tensor(y_true)
    shape = tuple(y_true.shape)
    if len(shape) != 2 or _checks.differ(shape[1:], tuple(y_pred.shape[1:])):
        raise ValueError(
            "A floating-point `y_true` must hold target embeddings of the shape of `y_pred`. "
            f"Received: y_true {shape} with dtype {_dtype(y_true)}, "
            f"y_pred {tuple(y_pred.shape)}. Pass ids and labels as integers."
        )
    return {"y_pred": y_pred, "y_true": y_true}, None


def as_ids(y_true: ArrayLike) -> Tensor:
    """Returns ids as int32 `(batch,)`.

    Raises:
        TypeError: If they are not integers.
        ValueError: If the shape is not `(batch,)` or `(batch, 1)`, or an id is out of range.
    """
    if not hasattr(y_true, "shape") or isinstance(y_true, np.ndarray):
        return ops.convert_to_tensor(ids_of_array(y_true, "y_true"))
    dtype = _dtype(y_true)
    if not dtype.startswith(("int", "uint")):
        raise TypeError(
            f"`y_true` must hold integer ids or labels. Received: y_true with dtype {dtype}. "
            "Floats cannot represent ids above 2**24 exactly. Target embeddings need a `y_pred` of "
            "shape `(batch, dim)`."
        )
    ids = ops.cast(ops.convert_to_tensor(y_true), "int32")
    if len(ids.shape) == 2 and ids.shape[1] == 1:
        ids = ops.squeeze(ids, axis=1)
    if len(ids.shape) != 1:
        raise ValueError(
            "Ids must have the shape `(batch,)` or `(batch, 1)`. "
            f"Received: y_true {tuple(ids.shape)}. Convert one-hot labels with "
            "`np.nonzero(labels)[1]`. Rows with several labels have no single id."
        )
    return ids


def ids_of_array(y: Any, name: str, num_items: int | None = None) -> np.ndarray:
    """Returns ids as an int32 NumPy array `(batch,)`.

    Args:
        y: A NumPy array, a list, or a tensor of any framework with known values.
        name: Name of the argument, for the message.
        num_items: `None`, or the number of items that a loss stores state for.

    Raises:
        TypeError: If they are not integers.
        ValueError: If the shape is not `(batch,)` or `(batch, 1)`, or an id is out of range.
    """
    ids = to_numpy(y)
    if ids.ndim == 2 and ids.shape[1] == 1:
        ids = ids[:, 0]
    if ids.ndim != 1:
        raise ValueError(
            f"`{name}` must have one integer id per row, with the shape `(batch,)` or "
            f"`(batch, 1)`. Received: shape {ids.shape}, dtype {ids.dtype}. {_cure_of_rows(ids)}"
        )
    if ids.dtype.kind not in "iu":
        kind, cure = _cure_of_kind(ids, name)
        raise TypeError(
            f"`{name}` must hold integer ids or labels, one for each row. Received: {kind}. {cure}"
        )
    check_ids(ids, num_items, name)
    return ids.astype("int32")


def _cure_of_rows(ids: np.ndarray) -> str:
    """Returns what to pass instead of labels that have more than one dimension."""
    if ids.ndim == 2 and ids.dtype.kind in "biuf" and np.isin(ids, (0, 1)).all():
        if (ids.sum(axis=1) == 1).all():
            return "These are one-hot labels. Pass `labels.argmax(axis=1)`."
        return (
            "Rows with several labels have no single id. Pass one label per row, or leave the ids "
            "out if all rows are different items."
        )
    return "Pass one integer per row."


def _cure_of_kind(ids: np.ndarray, name: str) -> tuple[str, str]:
    """Returns what was received in place of integers, and what to pass instead."""
    if ids.dtype.kind in "USO":
        return "strings or objects", (
            f"Map them to integers with `np.unique({name}, return_inverse=True)[1]`."
        )
    if ids.dtype.kind == "b":
        return "dtype bool", f'Pass `{name}.astype("int32")`.'
    if ids.dtype.kind == "f" and np.all(ids == np.floor(ids)):
        return f"dtype {ids.dtype}", (
            f'Floats cannot represent ids above 2**24 exactly. Pass `{name}.astype("int32")`, or '
            "better, keep the integers that they were made of."
        )
    return f"dtype {ids.dtype}", "Numbers that are not whole, such as scores, are no ids."


def as_weights(sample_weight: ArrayLike) -> Tensor:
    """Returns weights as float `(batch,)`, in float32 or wider."""
    weights = ops.convert_to_tensor(sample_weight)
    weights = ops.cast(weights, keras.backend.result_type(weights.dtype, "float32"))
    if len(weights.shape) == 2 and weights.shape[1] == 1:
        weights = ops.squeeze(weights, axis=1)
    return weights


def check_ids(ids: np.ndarray, num_items: int | None = None, name: str = "ids") -> None:
    """Raises if integer ids are out of range, before a device wraps or clips them.

    Args:
        ids: Integer array.
        num_items: `None`, or the number of items that a loss stores state for.
        name: Name of the argument, for the message.

    Raises:
        ValueError: If an id is negative, at least 2**31, or at least `num_items`.
    """
    if not ids.size:
        return
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0 or highest > _LARGEST_ID:
        raise ValueError(
            f"`{name}` must be in [0, 2**31). Received: ids from {lowest} to {highest}. "
            "Map keys to row numbers first, for example with "
            "`np.unique(keys, return_inverse=True)`."
        )
    if num_items is not None and highest >= num_items:
        raise ValueError(
            f"`{name}` must be below `num_items`, the number of items that the loss stores state "
            f"for. Received: num_items={num_items}, largest id {highest}. Set `num_items` to the "
            "number of items of this data set."
        )


def check_present(present: Mapping[Any, ArrayLike] | None, names: list[str]) -> dict[str, Tensor]:
    """Returns presence as bool tensors by view name. Keys may be names or indices of views."""
    result: dict[str, Tensor] = {}
    for key, mask in (present or {}).items():
        name = view_name("present", key, names)
        if name in result:
            raise ValueError(
                f"`present` must have one mask per view. Received: two masks of {name!r}."
            )
        result[name] = ops.cast(mask, "bool")
    return {name: result[name] for name in names if name in result}


def view_name(argument: str, key: Any, names: Sequence[str]) -> str:
    """Returns the name of a view that is given by name or index.

    Raises:
        ValueError: If there is no such view.
    """
    if key in names:
        return key
    if _checks.is_integer(key) and 0 <= key < len(names):
        return names[key]
    raise ValueError(
        f"`{argument}` must name views of this batch: {', '.join(map(str, names))}. "
        f"Received: {key!r}."
    )


def to_numpy(x: Any) -> np.ndarray:
    """Returns a list, or a tensor of any framework with known values, as a NumPy array."""
    if keras.ops.is_tensor(x):
        return keras.ops.convert_to_numpy(x)
    if hasattr(x, "detach"):  # a tensor of PyTorch on another backend
        x = x.detach().cpu()
    return np.asarray(x)


def _dtype(x: Any) -> str:
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        dtype = np.asarray(x).dtype
    try:
        return keras.backend.standardize_dtype(dtype)
    except ValueError:  # not a dtype of tensors, such as strings
        return str(dtype)


def _is_float(dtype: str) -> bool:
    return dtype.startswith(("float", "bfloat"))
