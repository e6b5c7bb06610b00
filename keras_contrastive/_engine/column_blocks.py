"""A loop over blocks of the columns of tensors."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_contrastive._engine.tiles import fits_one_tile, repeat, zero_after
from keras_contrastive._typing import Tensor

_COLUMNS = 32  # of all rows that are in memory at once


class Columns:
    """A block of columns of tensors `(any, dim)`, or all columns if `size` is `None`."""

    def __init__(self, start: Any, size: int | None) -> None:
        self.start = start
        self.size = size

    def of(self, x: Tensor) -> Tensor:
        """Returns these columns of a tensor."""
        if self.size is None:
            return x
        return ops.slice(x, (0, self.start), (ops.shape(x)[0], self.size))

    def write(self, x: Tensor, part: Tensor) -> Tensor:
        """Returns `x` with other values in these columns. On PyTorch, `x` itself is changed."""
        if self.size is None:
            return part
        if keras.backend.backend() == "torch":
            x[:, self.start : self.start + self.size] = part
            return x
        return ops.slice_update(x, (0, self.start), part)


def for_each_block_of_columns(
    body: Callable[[Columns, Any], Any], rows: Tensor, results: Any
) -> Any:
    """Calls `results = body(columns, results)` for one block of the columns of `rows` at a time.

    Small batches have a single block.

    Args:
        body: A function of `Columns` and of the results so far.
        rows: Float `(rows, dim)`.
        results: A tensor or a list of tensors, the start.
    """
    dim = rows.shape[1]
    if dim <= _COLUMNS or fits_one_tile(rows, rows):
        return body(Columns(0, None), results)

    def visit(i: Any, results: Any) -> Any:
        return body(Columns((i + zero_after(results)) * _COLUMNS, _COLUMNS), results)

    full, rest = divmod(dim, _COLUMNS)
    results = repeat(full, visit, results)
    return body(Columns(full * _COLUMNS, rest), results) if rest else results
