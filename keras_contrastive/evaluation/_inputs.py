"""Checks of the arrays of an evaluation, and measures that several evaluations share."""

from collections.abc import Iterable

import numpy as np
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import check_ids, normalize
from keras_contrastive._typing import Array, ArrayLike, Tensor


def unit_rows(
    embeddings: ArrayLike, ids: ArrayLike | None, names: tuple[str, str]
) -> tuple[Tensor, Tensor]:
    """Returns normalized float32 embeddings `(rows, dim)` and int32 ids `(rows,)`.

    Args:
        embeddings: Float array `(rows, dim)`.
        ids: Int array `(rows,)`. `None` stands for the row numbers.
        names: The names of both arguments, for messages.
    """
    embeddings = ops.convert_to_tensor(embeddings, dtype="float32")
    _check_matrix(embeddings, names[0])
    ids = np.arange(embeddings.shape[0]) if ids is None else np.asarray(ids)
    _check_integers(ids, embeddings.shape[0], names)
    return normalize(embeddings), ops.convert_to_tensor(ids, dtype="int32")


def labeled_rows(
    features: ArrayLike, labels: ArrayLike, names: tuple[str, str]
) -> tuple[Array, Array]:
    """Returns finite features `(rows, dim)` and integer labels `(rows,)` as NumPy arrays.

    Args:
        features: Float array `(rows, dim)`.
        labels: Int array `(rows,)`.
        names: The names of both arguments, for messages.
    """
    features, labels = np.asarray(ops.convert_to_numpy(features)), np.asarray(labels)
    _check_matrix(features, names[0])
    hint = "Convert names of classes with `np.unique(names, return_inverse=True)[1]`."
    _check_integers(labels, len(features), names, hint)
    if not np.isfinite(features).all():
        count = int(np.sum(~np.isfinite(features).all(axis=1)))
        raise ValueError(
            f"`{names[0]}` must be finite. Received: {count} rows with NaN or infinity. "
            "Check whether training has diverged."
        )
    return features, labels


def check_same_dim(a: ArrayLike, b: ArrayLike, names: tuple[str, str]) -> None:
    """Raises a `ValueError` if the last dimensions of two arrays differ."""
    if a.shape[-1] != b.shape[-1]:
        shapes = _checks.listing(dict(zip(names, (a.shape, b.shape), strict=True)))
        raise ValueError(
            f"`{names[0]}` and `{names[1]}` must have the same last dimension. "
            f"Received: {shapes}. Embed both with the same model."
        )


def checked_ranks(k: Iterable[int]) -> tuple[int, ...]:
    """Returns `k` as a tuple. Raises an error if it contains anything but positive integers."""
    if not isinstance(k, Iterable):
        raise TypeError(
            f"`k` must be several positive integers. Received: k={k!r}. Use `({k!r},)` for one."
        )
    return tuple(_checks.positive_int("k", rank) for rank in k)


def accuracies(ranks: Array, labels: Array, k: Iterable[int]) -> dict[str, float]:
    """Returns `top_{k}_accuracy` for each k, and the mean of the top-1 accuracies of the classes.

    Args:
        ranks: Int array `(rows,)`, 1 is the best.
        labels: Int array `(rows,)`.
        k: Positive integers.
    """
    results = {f"top_{rank}_accuracy": float(np.mean(ranks <= rank)) for rank in k}
    _, classes = np.unique(labels, return_inverse=True)
    per_class = np.bincount(classes, ranks <= 1) / np.bincount(classes)
    return results | {"mean_class_accuracy": float(np.mean(per_class))}


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


def _check_integers(ids: Array, rows: int, names: tuple[str, str], hint: str = "") -> None:
    received = f"Received: shape {ids.shape}, dtype {ids.dtype}.{' ' + hint if hint else ''}"
    if not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(
            f"`{names[1]}` must be integers, one for each row of `{names[0]}`. {received}"
        )
    if ids.shape != (rows,):
        raise ValueError(
            f"`{names[1]}` must have the shape ({rows},), one integer for each row of "
            f"`{names[0]}`. {received}"
        )
    check_ids(ids, name=names[1])
