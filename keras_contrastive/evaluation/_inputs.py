"""Checks of the arrays of an evaluation, and measures that several evaluations share."""

from collections.abc import Iterable

import keras
import numpy as np
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import check_ids
from keras_contrastive._typing import Array, ArrayLike, Structure


def embedding_rows(embeddings: ArrayLike, name: str) -> Array:
    """Returns embeddings as an array `(rows, dim)` of real numbers, not copied if possible.

    Args:
        embeddings: Array `(rows, dim)` of numbers.
        name: The name of the argument, for messages.
    """
    array = as_array(embeddings, name)
    _check_real(array.dtype.name, embeddings, name)
    _check_matrix(array, name)
    return array


def labeled_rows(
    features: ArrayLike, labels: ArrayLike, names: tuple[str, str]
) -> tuple[Array, Array]:
    """Returns features `(rows, dim)` and integer labels `(rows,)` as NumPy arrays.

    Args:
        features: Float array `(rows, dim)`.
        labels: Int array `(rows,)`.
        names: The names of both arguments, for messages.
    """
    features = float_array(features, names[0])
    _check_matrix(features, names[0])
    return features, checked_integers(labels, len(features), names)


def float_array(x: ArrayLike, name: str) -> Array:
    """Returns real numbers as a float32 or float64 array. Raises a `TypeError` for anything else.

    Only float64 and integers become float64, since NumPy computes in bfloat16 and float16.
    """
    array = as_array(x, name)
    _check_real(array.dtype.name, x, name)
    wide = array.dtype == "float64" or np.issubdtype(array.dtype, np.integer)
    return array.astype("float64" if wide else "float32")


def as_array(x: ArrayLike, name: str) -> Array:
    """Returns a tensor or a list as a NumPy array. Raises a `TypeError` for rows of many sizes."""
    try:
        return ops.convert_to_numpy(x) if ops.is_tensor(x) else np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"`{name}` must be an array. Received: {_kind(x)}, which NumPy cannot convert: {error}."
        ) from error


def all_finite(*rows: Array) -> bool:
    """Returns whether arrays contain neither NaN nor infinity in float32."""
    with np.errstate(over="ignore"):
        return all(bool(np.isfinite(x.astype("float32", copy=False)).all()) for x in rows)


def check_finite(features: Array, name: str) -> None:
    """Raises a `ValueError` if rows contain NaN or infinity."""
    if not all_finite(features):
        count = sum(not all_finite(row) for row in features)
        raise ValueError(
            f"`{name}` must be finite. Received: {count} rows with NaN or infinity. "
            "Check whether training has diverged."
        )


def rows_of(x: Structure, name: str) -> int:
    """Returns the number of rows of an array, or of a structure of arrays.

    Args:
        x: Inputs of a model.
        name: The name of the argument, for messages.

    Raises:
        TypeError: If `x` holds anything but arrays and tensors, such as a data set.
        ValueError: If the arrays have different numbers of rows, or none.
    """
    leaves = keras.tree.flatten(x)
    for leaf in leaves:
        if not len(getattr(leaf, "shape", ())):
            raise TypeError(
                f"`{name}` must be an array, or a dict or list of arrays. Received: {_kind(leaf)}."
            )
    sizes = [int(leaf.shape[0]) for leaf in leaves]
    if len(set(sizes)) != 1 or not sizes[0]:
        raise ValueError(
            f"`{name}` must hold arrays with the same number of rows, at least one. "
            f"Received: {', '.join(map(str, sizes)) or 'no array'}."
        )
    return sizes[0]


def first_rows(x: Structure, rows: int) -> Structure:
    """Returns the first rows of an array, or of a structure of arrays."""
    return keras.tree.map_structure(lambda leaf: leaf[:rows], x)


def check_same_dim(a: ArrayLike, b: ArrayLike, names: tuple[str, str]) -> None:
    """Raises a `ValueError` if the last dimensions of two arrays differ."""
    if a.shape[-1] != b.shape[-1]:
        shapes = _checks.listing(dict(zip(names, (a.shape, b.shape), strict=True)))
        raise ValueError(
            f"`{names[0]}` and `{names[1]}` must have the same last dimension. "
            f"Received: {shapes}. Embed both with the same model."
        )


def accuracy_names(k: Iterable[int]) -> list[str]:
    """Returns the names of `accuracies`."""
    return [*(f"top_{rank}_accuracy" for rank in k), "mean_class_accuracy"]


def checked_ranks(k: Iterable[int]) -> tuple[int, ...]:
    """Returns `k` as a tuple. Raises an error if it contains anything but positive integers."""
    if not isinstance(k, Iterable) or isinstance(k, (str, bytes)):
        raise TypeError(
            f"`k` must be several positive integers. Received: k={k!r}. Use `({k!r},)` for one."
        )
    return tuple(_checks.positive_int("k", rank) for rank in k)


def accuracies(ranks: Array, labels: Array, k: tuple[int, ...]) -> dict[str, float]:
    """Returns `top_{k}_accuracy` for each k, and the mean of the top-1 accuracies of the classes.

    Args:
        ranks: Int array `(rows,)`, 1 is the best.
        labels: Int array `(rows,)`.
        k: Positive integers.
    """
    _, classes = np.unique(labels, return_inverse=True)
    per_class = np.bincount(classes, ranks <= 1) / np.bincount(classes)
    values = [*(np.mean(ranks <= rank) for rank in k), np.mean(per_class)]
    return dict(zip(accuracy_names(k), map(float, values), strict=True))


def ranks_of_columns(scores: Array, columns: Array) -> Array:
    """Returns the rank (1 is the best) of the given column in each row of scores.

    Ties count against it. A missing column (-1) ranks last.
    """
    scores_of_columns = scores[np.arange(len(scores)), columns]
    ranks = (scores >= scores_of_columns[:, None]).sum(axis=1)
    return np.where(columns < 0, np.iinfo("int32").max, ranks)


def column_indices(labels: Array, classes: Array) -> Array:
    """Returns the index of each label among sorted classes, or -1 if it is not one of them."""
    indices = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    return np.where(classes[indices] == labels, indices, -1)


def _check_matrix(x: ArrayLike, name: str) -> None:
    if len(x.shape) != 2 or not x.shape[0]:
        raise ValueError(
            f"`{name}` must have the shape (rows, dim), with at least one row. "
            f"Received: {name}.shape={tuple(x.shape)}."
        )


def checked_integers(
    ids: ArrayLike, rows: int | None, names: tuple[str, str], hint: str = ""
) -> Array:
    """Returns ids or labels as an int array `(rows,)`.

    Args:
        ids: The value to check.
        rows: The number of rows, or `None` for any number.
        names: The names of what has the rows, and of `ids`, for messages.
        hint: A sentence that tells how to fix the value.
    """
    ids = as_array(ids, names[1])
    dtype = "strings" if ids.dtype.kind in "US" else f"dtype {ids.dtype}"
    if ids.dtype.kind in "USO" and not hint:
        hint = "Convert names to integers: `np.unique(names, return_inverse=True)[1]`."
    received = f"Received: shape {ids.shape}, {dtype}.{' ' + hint if hint else ''}"
    if not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(
            f"`{names[1]}` must be integers, one for each row of `{names[0]}`. {received}"
        )
    if ids.ndim != 1 or not ids.size or rows not in (None, len(ids)):
        expected = "(rows,)" if rows is None else f"({rows},)"
        raise ValueError(
            f"`{names[1]}` must have the shape {expected}, one integer for each row of "
            f"`{names[0]}`. {received}"
        )
    check_ids(ids, name=names[1])
    return ids


def _check_real(dtype: str, x: ArrayLike, name: str) -> None:
    if not dtype.startswith(("float", "bfloat", "int", "uint")):
        raise TypeError(
            f"`{name}` must be an array of real numbers. Received: {_kind(x)} with dtype {dtype}. "
            "Pass embeddings (rows, dim). Collect those of a data set in one array."
        )


def _kind(x: object) -> str:
    return f"`{type(x).__name__}`"
