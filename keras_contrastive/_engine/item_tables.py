"""Tables with a row for each item, and a last row for ids that are out of range.

Reads and writes are safe on every device, whatever the ids.
"""

from typing import Any

from keras import ops

from keras_contrastive._typing import Tensor


def is_item(ids: Tensor, table: Any) -> Tensor:
    """Returns which ids have a row of their own, bool `(batch,)`."""
    return ops.logical_and(ids >= 0, ids < table.shape[0] - 1)


def item_rows(table: Any, ids: Tensor) -> Tensor:
    """Returns the rows of ids, `(batch, ...)`. Ids that are out of range share the last row."""
    return ops.take(table, _positions(ids, table), axis=0)


def write_item_rows(table: Any, ids: Tensor, rows: Tensor) -> None:
    """Stores rows `(batch, ...)` as float32. Rows with equal ids must be equal."""
    indices = ops.expand_dims(_positions(ids, table), 1)
    table.assign(ops.scatter_update(table, indices, ops.cast(rows, "float32")))


def _positions(ids: Tensor, table: Any) -> Tensor:
    return ops.where(is_item(ids, table), ids, ops.full_like(ids, table.shape[0] - 1))
