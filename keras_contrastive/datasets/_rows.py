"""Selection of rows, shared by the data classes."""

import dataclasses
from typing import Any, Self

import numpy as np


class Rows:
    """Base of frozen data classes whose arrays have one entry for each item."""

    def __len__(self) -> int:
        return len(getattr(self, dataclasses.fields(self)[0].name))  # type: ignore[arg-type]

    def __getitem__(self, rows: Any) -> Self:
        """Returns selected rows.

        Args:
            rows: A slice, a boolean mask, or an array or list of indices.

        Raises:
            TypeError: If `rows` is an integer.
        """
        if isinstance(rows, (int, np.integer)):
            raise TypeError(
                "`rows` must be a slice, a mask, or a list of row numbers. "
                f"Received: rows={rows!r}. Pass `[{rows}]` for one row."
            )
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return type(self)(**{name: _select(value, rows) for name, value in fields.items()})


def _select(value: Any, rows: Any) -> Any:
    if isinstance(value, dict):
        return {name: _select(one, rows) for name, one in value.items()}
    return value[rows] if isinstance(value, np.ndarray) else value
