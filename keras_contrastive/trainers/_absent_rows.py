"""Rows that lack a modality: other rows take their place in the inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive._engine import to_numpy, without_column_axis
from keras_contrastive._replicas import shard_rows
from keras_contrastive._typing import Structure, Tensor


def checked_presence(x: Structure, presence_inputs: Sequence[str]) -> Structure:
    """Returns `x` with presence as int32 `(batch,)`. TensorFlow's replicas cannot sum bools."""
    for name in presence_inputs:
        values = without_column_axis(to_numpy(x[name]))
        numbers = values.ndim == 1 and values.dtype.kind in "biuf"
        if not numbers or not np.isin(values, (0, 1)).all():
            raise ValueError(
                f"`{name}` must be bool `(batch,)`: whether a row has the modality. Received: "
                f"shape {values.shape}, dtype {values.dtype}, values "
                f"{', '.join(map(str, values.ravel()[:5]))}."
            )
        x = {**x, name: values.astype("int32")}
    return x


def presence_by_modality(
    inputs: Mapping[str, Any], presence_inputs: Mapping[str, str]
) -> dict[str, Tensor]:
    """Returns which rows have a modality, bool `(batch,)`, for the presence inputs that are given.

    Args:
        inputs: Inputs by name.
        presence_inputs: See `ContrastiveTrainer`. A row has a modality if all of its inputs say so.
    """
    present: dict[str, Tensor] = {}
    for name, modality in presence_inputs.items():
        if name in inputs:
            mask = ops.cast(ops.reshape(inputs[name], (-1,)), "bool")
            present[modality] = (
                ops.logical_and(present[modality], mask) if modality in present else mask
            )
    return present


def fill_absent_rows(x: Structure, present: Tensor) -> Structure:
    """Replaces the rows that are absent by rows that are present, in turn.

    A layer that looks at several rows, such as batch normalization, then never sees a placeholder,
    and its statistics are those of rows that are present. Multiplying with zero later would not
    remove a placeholder that is NaN from the gradient.

    Args:
        x: A tensor or a structure of tensors, `(batch, ...)`.
        present: Bool `(batch,)`. If no row is present, all rows become zero.
    """
    rows = ops.arange(ops.shape(present)[0], dtype="int32")
    count = ops.sum(ops.cast(present, "int32"))
    # The positions of the rows that are present, then the others.
    order = ops.argsort(ops.where(present, rows, rows + ops.shape(present)[0]))
    turn = ops.cumsum(ops.cast(ops.logical_not(present), "int32")) - 1
    turn = ops.mod(turn, ops.maximum(count, 1))
    source = ops.where(present, rows, ops.cast(ops.take(order, turn, axis=0), "int32"))

    def fill(leaf: Tensor) -> Tensor:
        filled = shard_rows(ops.take(leaf, source, axis=0))
        if keras.backend.standardize_dtype(filled.dtype) == "string":
            return filled
        return ops.where(count > 0, filled, ops.zeros_like(filled))

    return keras.tree.map_structure(fill, x)
