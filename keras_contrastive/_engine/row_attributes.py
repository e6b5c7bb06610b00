"""Attributes of the rows of each view: presence, log-weights, guides."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine.ids import is_on_host
from keras_contrastive._engine.normalize import normalize
from keras_contrastive._engine.targets import (
    NUMBERS,
    as_column,
    as_embeddings,
    dtype_name,
    view_name,
)
from keras_contrastive._typing import ArrayLike, Tensor


def check_present(
    present: Mapping[Any, ArrayLike] | None, names: list[str], num_rows: int | None
) -> dict[str, Tensor]:
    """Returns presence as bool tensors by view name. Keys may be names or indices of views."""
    masks = _by_view("present", present, names, "bool `(batch,)`")
    return {name: as_presence(key, mask, num_rows) for name, (key, mask) in masks.items()}


def as_presence(name: str, mask: ArrayLike, num_rows: int | None) -> Tensor:
    """Returns which rows have a view, bool `(batch,)`.

    Raises:
        TypeError: If the mask contains neither bools nor numbers.
        ValueError: If the shape is not `(batch,)` or `(batch, 1)`.
    """
    argument = f"present[{name!r}]"
    dtype = dtype_name(mask)
    if not dtype.startswith(NUMBERS):
        raise TypeError(
            f"`{argument}` must contain one bool per row. Received: {argument} with dtype {dtype}."
        )
    return ops.cast(as_column(argument, ops.convert_to_tensor(mask), num_rows, "bool"), "bool")


def check_log_weights(
    log_weights: Mapping[Any, ArrayLike] | None,
    names: list[str],
    num_rows: int | None,
    present: Mapping[Any, ArrayLike] | None,
) -> dict[str, Tensor]:
    """Returns log-weights by view name. Keys may be names or indices of views."""
    given = _by_view("log_weights", log_weights, names, "floats `(batch,)`")
    masks = _by_view("present", present, names, "bool `(batch,)`")
    return {
        name: as_log_weights(
            f"log_weights[{key!r}]", values, num_rows, masks.get(name, (name, None))[1]
        )
        for name, (key, values) in given.items()
    }


def as_log_weights(
    argument: str, log_weights: ArrayLike, num_rows: int | None, present: ArrayLike | None = None
) -> Tensor:
    """Returns log-weights as float `(batch,)`, in float32 or wider, without a gradient.

    Args:
        argument: Name of the argument, for messages.
        log_weights: `(batch,)` or `(batch, 1)`.
        num_rows: Number of rows, or `None` if it is unknown.
        present: `None`, or which rows have the view, as `check_present` accepts it. The others have
            a log-weight of 0, whatever is given.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If the shape is not `(batch,)` or `(batch, 1)`, or known values are not finite.
    """
    dtype = dtype_name(log_weights)
    if not dtype.startswith(NUMBERS) or dtype == "bool":
        raise TypeError(
            f"`{argument}` must contain one number per candidate. "
            f"Received: {argument} with dtype {dtype}."
        )
    values = as_column(argument, ops.convert_to_tensor(log_weights), num_rows, "number")
    if is_on_host(log_weights) and (present is None or is_on_host(present)):
        given = np.asarray(log_weights).reshape(-1)
        check_finite(argument, given if present is None else given[np.ravel(present).astype(bool)])
    dtype = keras.backend.result_type(values.dtype, "float32")
    values = ops.cast(values, dtype)
    if present is not None:
        mask = as_presence(argument, present, num_rows)
        values = ops.where(mask, values, ops.zeros_like(values))
    return ops.stop_gradient(values)


def check_finite(name: str, log_weights: np.ndarray) -> None:
    """Raises a `ValueError` unless all log-weights are finite."""
    if not np.isfinite(log_weights.astype("float64")).all():
        raise ValueError(
            f"`{name}` must be finite. Received: {name} with NaN or infinite values. The logarithm "
            "of a probability of 0 is infinite: clip the probabilities first."
        )


def check_guides(
    guides: Mapping[Any, ArrayLike] | None, names: list[str], num_rows: int | None
) -> dict[str, Tensor]:
    """Returns guides by view name, of unit length. Keys may be names or indices of views."""
    given = _by_view("guides", guides, names, "embeddings `(batch, guide_dim)`")
    result = {name: as_guide(f"guides[{key!r}]", x) for name, (key, x) in given.items()}
    missing = [name for name in names if name not in result]
    if result and missing:
        raise ValueError(
            f"`guides` must have embeddings of all views. Received: none of {', '.join(missing)}."
        )
    shapes = {f"guides of {name}": tuple(guide.shape) for name, guide in result.items()}
    if any(
        _checks.differ(shape[:1], (num_rows,)) or shape[1:] != tuple(result[names[0]].shape[1:])
        for shape in shapes.values()
    ):
        raise ValueError(
            f"`guides` must have the shape `({num_rows}, guide_dim)`, with one size for all views, "
            f"since they are compared with each other. Received: {_checks.listing(shapes)}."
        )
    return result


def as_guide(argument: str, guide: ArrayLike) -> Tensor:
    """Returns embeddings of a guide, `(any, guide_dim)`, of unit length and without a gradient."""
    guide = as_embeddings(guide, argument)
    dtype = keras.backend.result_type(guide.dtype, "float32")
    return ops.stop_gradient(normalize(ops.cast(guide, dtype)))


def _by_view(
    argument: str, given: Any, names: Sequence[str], kind: str
) -> dict[str, tuple[Any, ArrayLike]]:
    """Returns pairs of a key and its value by view name, in the order of the views."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(
            f"`{argument}` must be `None` or a dict from views to {kind}. "
            f"Received: {argument} of type {type(given).__name__}."
        )
    result: dict[str, tuple[Any, ArrayLike]] = {}
    for key, value in (given or {}).items():
        name = view_name(argument, key, names)
        if name in result:
            raise ValueError(
                f"`{argument}` must have one entry per view. Received: two entries of {name!r}."
            )
        result[name] = key, value
    return {name: result[name] for name in names if name in result}
