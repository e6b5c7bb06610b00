"""Ids whose values are known on the host."""

from typing import Any

import keras
import numpy as np

LARGEST_ID = 2**31 - 1


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
    ids = without_column_axis(to_numpy(y))
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
            "Rows with several labels have no single id. To treat rows with equal sets of labels "
            "as positives, pass `np.unique(labels, axis=0, return_inverse=True)[1]`. Other rows "
            "are then negatives, even with some labels in common. To train on each label, use a "
            "classifier with `keras.losses.BinaryCrossentropy`. Leave the ids out if all rows are "
            "different items."
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
    if lowest < 0 or highest > LARGEST_ID:
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


def check_classes(labels: np.ndarray, num_classes: int, name: str) -> None:
    """Raises if labels that are not negative are no classes.

    Args:
        labels: Integer array.
        num_classes: Number of classes of the loss.
        name: Name of the argument, for the message.

    Raises:
        ValueError: If a label is at least `num_classes`.
    """
    if labels.size and int(labels.max()) >= num_classes:
        raise ValueError(
            f"`{name}` must hold labels below `num_classes`, the number of class vectors of the "
            f"loss. Received: num_classes={num_classes}, largest label {int(labels.max())}. Set "
            "`num_classes` of the `ClassProxies` to the number of classes, or number them with "
            f"`np.unique({name}, return_inverse=True)[1]`."
        )


def is_on_host(x: Any) -> bool:
    """Returns whether values can be read without waiting for a device: an array, list or number."""
    return isinstance(x, np.ndarray) or not hasattr(x, "shape")


def to_numpy(x: Any) -> np.ndarray:
    """Returns a list, or a tensor of any framework with known values, as a NumPy array."""
    if keras.ops.is_tensor(x):
        return keras.ops.convert_to_numpy(x)
    if hasattr(x, "detach"):  # a tensor of PyTorch on another backend
        x = x.detach().cpu()
    return np.asarray(x)


def without_column_axis(x: np.ndarray) -> np.ndarray:
    """Returns an array `(batch, 1)` as `(batch,)`, and any other one as it is."""
    return x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x
