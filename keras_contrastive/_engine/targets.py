"""Conversion and checks of the arguments of a loss: embeddings, ids, weights, presence."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine.ids import ids_of_array, is_on_host
from keras_contrastive._replicas import Replicas, current_replicas
from keras_contrastive._typing import ArrayLike, Tensor

NUMBERS = ("float", "bfloat", "int", "uint", "bool")  # beginnings of names of dtypes


def as_embeddings(x: ArrayLike, name: str, ranks: Sequence[int] = (2,)) -> Tensor:
    """Returns embeddings as a tensor.

    Raises:
        TypeError: If they are not floating point.
        ValueError: If their rank is not one of `ranks`.
    """
    dtype = dtype_name(x)
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
    if y_true is None or not _is_float(dtype_name(y_true)):
        return {"y_pred": y_pred}, y_true
    y_true = ops.convert_to_tensor(y_true)
    shape = tuple(y_true.shape)
    if len(shape) != 2 or _checks.differ(shape[1:], tuple(y_pred.shape[1:])):
        raise ValueError(
            "A floating-point `y_true` must hold target embeddings of the shape of `y_pred`. "
            f"Received: y_true {shape} with dtype {dtype_name(y_true)}, "
            f"y_pred {tuple(y_pred.shape)}. Pass ids and labels as integers."
        )
    return {"y_pred": y_pred, "y_true": y_true}, None


def ids_of_averages(y_true: Any) -> Any:
    """Returns symbolic ids as integers.

    To build a model under `tf.distribute`, Keras traces it with the mean of the replicas' ids, a
    symbolic float tensor that is never computed.
    """
    with keras.SymbolicScope() as scope:
        is_symbolic = scope.original_scope is not None
    if not is_symbolic or y_true is None or not hasattr(y_true, "dtype"):
        return y_true
    dtype = keras.backend.standardize_dtype(y_true.dtype)
    if not dtype.startswith(("float", "bfloat")) or tuple(y_true.shape[1:]) not in ((), (1,)):
        return y_true
    return ops.cast(y_true, "int32")


def as_ids(y_true: ArrayLike) -> Tensor:
    """Returns ids as int32 `(batch,)`.

    Raises:
        TypeError: If they are not integers.
        ValueError: If the shape is not `(batch,)` or `(batch, 1)`, or an id is out of range.
    """
    if is_on_host(y_true):
        return ops.convert_to_tensor(ids_of_array(y_true, "y_true"))
    dtype = dtype_name(y_true)
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
            "`np.nonzero(labels)[1]`, and rows with several labels with "
            "`np.unique(labels, axis=0, return_inverse=True)[1]`."
        )
    return ids


def as_weights(sample_weight: ArrayLike, num_rows: int | None) -> Tensor:
    """Returns weights as float `(batch,)`, in float32 or wider.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If the shape is not `(batch,)` or `(batch, 1)`.
    """
    dtype = dtype_name(sample_weight)
    if not dtype.startswith(NUMBERS):
        raise TypeError(
            "`sample_weight` must contain one number per row. "
            f"Received: sample_weight with dtype {dtype}."
        )
    weights = as_column("sample_weight", ops.convert_to_tensor(sample_weight), num_rows, "number")
    return ops.cast(weights, keras.backend.result_type(weights.dtype, "float32"))


def as_column(argument: str, x: Tensor, num_rows: int | None, what: str) -> Tensor:
    """Returns a tensor `(batch,)` from one of the shape `(batch,)` or `(batch, 1)`."""
    shape = tuple(x.shape)
    is_column = len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
    if not is_column or _checks.differ(shape[:1], (num_rows,)):
        batch = "batch" if num_rows is None else num_rows
        raise ValueError(
            f"`{argument}` must have the shape `({batch},)` or `({batch}, 1)`, one {what} per row "
            f"of the embeddings. Received: {argument} {shape}."
        )
    return ops.squeeze(x, axis=1) if len(shape) == 2 else x


def check_shapes(views: Mapping[str, Tensor], ids: Tensor | None) -> None:
    """Raises a `ValueError` unless the views, and their ids, have the same rows."""
    shapes = {str(name): tuple(view.shape) for name, view in views.items()}
    if not views:
        raise ValueError("`y_pred` must contain at least one view `(batch, dim)`. Received: none.")
    if len(views) == 1 and ids is None:
        raise ValueError(
            "A single view without ids leaves nothing to compare. Received: y_true=None, "
            f"{_checks.listing(shapes)}. Pass target embeddings or integer labels as `y_true`, "
            "or several views as `y_pred`."
        )
    first = next(iter(shapes.values()))
    if any(_checks.differ(shape, first) for shape in shapes.values()):
        raise ValueError(
            "Embeddings of all views must have the same shape `(batch, dim)`. "
            f"Received: {_checks.listing(shapes)}. Add projectors with equal output sizes, or pass "
            "equal numbers of rows."
        )
    if ids is not None and _checks.differ(tuple(ids.shape), (first[0],)):
        raise ValueError(
            "`y_true` must have one id per row. "
            f"Received: y_true {tuple(ids.shape)}, {_checks.listing(shapes)}."
        )


def check_has_rows(views: Mapping[str, Tensor], replicas: Replicas | None) -> None:
    """Raises a `ValueError` if the views of the global batch have no rows."""
    shapes = {str(name): tuple(view.shape) for name, view in views.items()}
    view = next(iter(views.values()))
    if view.shape[0] == 0 and replicas is None and current_replicas(view) is None:
        raise ValueError(
            "A batch must have at least one row. "
            f"Received: {_checks.listing(shapes)}. Skip empty batches."
        )


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


def dtype_name(x: Any) -> str:
    """Returns the name of the dtype of an array, a tensor or a nested list."""
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        dtype = np.asarray(x).dtype
    try:
        return keras.backend.standardize_dtype(dtype)
    except ValueError:  # not a dtype of tensors, such as strings
        return str(dtype)


def _is_float(dtype: str) -> bool:
    return dtype.startswith(("float", "bfloat"))
