"""The data contract: who is compared with whom, decided by shapes and dtypes, never by a flag."""

import keras
import numpy as np
from keras import ops

_LARGEST_ID = 2**31 - 1


def as_views(y_true, y_pred):
    """Turn `y_true` and `y_pred` into ids and a list of views.

    | `y_pred` | `y_true` | views |
    | --- | --- | --- |
    | `(batch, dim)` | float `(batch, dim)` | two: the predictions and their targets |
    | `(batch, dim)` | integer `(batch,)` or `(batch, 1)` | one; rows with the same id belong together |
    | `(batch, views, dim)` | integer ids or `None` | `views` of them |
    | dict, list or tuple of `(batch, dim)` | integer ids or `None` | one for each entry, in their order |

    Args:
        y_true: Ids, targets or `None`, see above. Ids are in `[0, 2**31)`.
        y_pred: Embeddings, see above.

    Returns:
        `(ids, views)`: int32 `(batch,)` or `None`, and a list of float tensors `(batch, dim)`.

    Raises:
        TypeError: Embeddings that are not floating point, ids that are not integers.
        ValueError: Shapes that do not belong together, ids out of range, nothing to compare.
    """
    y_true = _averaged_ids(y_true)
    if isinstance(y_pred, dict):
        views = {
            f"y_pred[{name!r}]": _as_embeddings(view, f"y_pred[{name!r}]")
            for name, view in y_pred.items()
        }
    elif isinstance(y_pred, (list, tuple)):
        views = {
            f"y_pred[{i}]": _as_embeddings(view, f"y_pred[{i}]") for i, view in enumerate(y_pred)
        }
    else:
        y_pred = _as_embeddings(y_pred, "y_pred", ranks=(2, 3))
        if len(y_pred.shape) == 3:
            views = {f"y_pred[:, {i}]": view for i, view in enumerate(ops.unstack(y_pred, axis=1))}
        else:
            views = {"y_pred": y_pred}
            if y_true is not None and _is_float(_dtype(y_true)):
                views["y_true"] = _as_targets(y_true, y_pred)
                y_true = None
    ids = None if y_true is None else _as_ids(y_true)
    _check_shapes(views, ids)
    return ids, list(views.values())


def check_ids(ids, num_items=None, name="ids"):
    """Refuse concrete ids that are out of range, before a device can wrap or clip them.

    Args:
        ids: NumPy integers.
        num_items: `None`, or the number of items that the loss keeps state for.
        name: How the message calls them.

    Raises:
        ValueError: An id is negative, not below `num_items`, or not below 2**31.
    """
    if not ids.size:
        return
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0 or highest > _LARGEST_ID:
        raise ValueError(
            f"`{name}` must be in [0, 2**31). Received ids from {lowest} to {highest}. "
            "Map your keys to row numbers first (for example with `np.unique(keys, return_inverse=True)`)."
        )
    if num_items is not None and highest >= num_items:
        raise ValueError(
            f"`{name}` must be below `num_items`, the number of items that the loss keeps state for. "
            f"Received: num_items={num_items}, largest id={highest}. Are these the ids of another data set?"
        )


def _averaged_ids(y_true):
    """Ids again, of what Keras makes of them under `tf.distribute`.

    To build a model, it traces it with the mean of the replicas' ids as a symbol: floats that are never computed.
    """
    with keras.SymbolicScope() as scope:
        is_symbol = scope.original_scope is not None
    if (
        not is_symbol
        or y_true is None
        or not _is_float(_dtype(y_true))
        or tuple(y_true.shape[1:]) not in ((), (1,))
    ):
        return y_true
    return ops.cast(y_true, "int32")


def _as_embeddings(x, name, ranks=(2,)):
    dtype = _dtype(x)
    if not _is_float(dtype):
        raise TypeError(
            f"`{name}` must hold embeddings, in floating point. Received: {name}.dtype={dtype}."
        )
    x = ops.convert_to_tensor(x)
    if len(x.shape) not in ranks:
        expected = " or ".join(
            {2: "(batch, dim)", 3: "(batch, views, dim)"}[rank] for rank in ranks
        )
        raise ValueError(
            f"`{name}` must have the shape {expected}. Received: {name}.shape={tuple(x.shape)}. "
            "Does the encoder end without pooling?"
        )
    return x


def _as_targets(y_true, y_pred):
    y_true = ops.convert_to_tensor(y_true)
    shape = tuple(y_true.shape)
    if len(shape) != 2 or _differ(shape[-1], y_pred.shape[-1]):
        raise ValueError(
            "A floating-point `y_true` holds target embeddings, of the same shape `(batch, dim)` as `y_pred`; ids and "
            f"labels must be integers. Received: y_true.dtype={_dtype(y_true)}, y_true.shape={shape}, "
            f"y_pred.shape={tuple(y_pred.shape)}. Did something turn integer ids into floats?"
        )
    return y_true


def _as_ids(y_true):
    dtype = _dtype(y_true)
    if not dtype.startswith(("int", "uint")):
        raise TypeError(
            f"`y_true` must hold integer ids or labels, one for each row. Received: y_true.dtype={dtype}. Floats "
            "cannot tell ids above 2**24 apart; target embeddings go with a `y_pred` of shape `(batch, dim)`."
        )
    if not hasattr(y_true, "shape"):
        y_true = np.asarray(y_true)
    if isinstance(y_true, np.ndarray):
        check_ids(y_true, name="y_true")
        y_true = y_true.astype("int32")  # torch has no wide unsigned integers
    ids = ops.cast(ops.convert_to_tensor(y_true), "int32")
    if len(ids.shape) == 2 and ids.shape[1] == 1:
        ids = ops.squeeze(ids, axis=1)
    if len(ids.shape) != 1:
        raise ValueError(
            "Ids must have the shape `(batch,)` or `(batch, 1)`. "
            f"Received: y_true.shape={tuple(ids.shape)}. Are these one-hot labels? Then pass their argmax."
        )
    return ids


def _check_shapes(views, ids):
    shapes = {name: tuple(view.shape) for name, view in views.items()}
    if not views:
        raise ValueError("`y_pred` has no view in it. Expected at least one `(batch, dim)`.")
    if len(views) == 1 and ids is None:
        raise ValueError(
            "There is nothing to compare: one view of each row and no ids. Pass target embeddings or integer labels as "
            f"`y_true`, or several views as `y_pred`. Received: y_true=None, {_listing(shapes)}."
        )
    first = next(iter(shapes.values()))
    if any(_differ(a, b) for shape in shapes.values() for a, b in zip(shape, first, strict=True)):
        raise ValueError(
            f"All views must have the same shape `(batch, dim)`. Received: {_listing(shapes)}. "
            "Did one view skip the projector?"
        )
    if ids is not None and _differ(ids.shape[0], first[0]):
        raise ValueError(
            "`y_true` must have one id for each row of `y_pred`. "
            f"Received: y_true.shape={tuple(ids.shape)}, {_listing(shapes)}."
        )


def _listing(shapes):
    return ", ".join(f"{name}.shape={shape}" for name, shape in shapes.items())


def _differ(a, b):
    return a is not None and b is not None and a != b


def _dtype(x):
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        dtype = np.asarray(x).dtype
    try:
        return keras.backend.standardize_dtype(dtype)
    except ValueError:  # such as strings: not a dtype of tensors
        return str(dtype)


def _is_float(dtype):
    return dtype.startswith(("float", "bfloat"))
