"""Raw rows, such as strings, that a preprocessor turns into inputs batch by batch."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive._checks import optional_positive_int
from keras_contrastive._typing import Structure
from keras_contrastive.trainers._contract import is_table
from keras_contrastive.trainers._epoch_data import BATCH_SIZE


class RawRows(keras.utils.PyDataset):
    """Batches of raw rows after a preprocessor, which runs on the host.

    Args:
        rows: A list, array or column of a table: strings, paths, images.
        preprocessor: Function of a list or array of rows. It returns arrays with as many rows.
        batch_size: Positive int, or `None` for 32.
    """

    def __init__(
        self, rows: Any, preprocessor: Callable[[Any], Structure], batch_size: int | None = None
    ) -> None:
        super().__init__()
        self.rows = _as_rows(rows)
        self.preprocessor = preprocessor
        self.batch_size = optional_positive_int("batch_size", batch_size) or BATCH_SIZE

    @property
    def num_batches(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, index: int) -> Structure:
        start = index * self.batch_size
        return (preprocessed(self.rows[start : start + self.batch_size], self.preprocessor),)


def preprocessed(rows: Any, preprocessor: Callable[[Any], Structure]) -> Structure:
    """Returns the inputs of a model for raw rows, as NumPy arrays."""
    rows = _as_rows(rows)
    inputs = keras.tree.map_structure(ops.convert_to_numpy, preprocessor(rows))
    counts = [len(leaf) if leaf.ndim else 0 for leaf in keras.tree.flatten(inputs)]
    if set(counts) != {len(rows)}:
        raise ValueError(
            "`preprocessor` must return arrays with one row for each row that it gets. "
            f"Received: {', '.join(map(str, counts))} rows for {len(rows)}."
        )
    return inputs


def check_preprocessor(value: Any) -> Any:
    """Returns a preprocessor. Raises a `TypeError` unless it is `None` or a function."""
    if value is not None and not callable(value):
        raise TypeError(
            "`preprocessor` must be `None` or a function of raw rows, such as a tokenizer. "
            f"Received: preprocessor={value!r}."
        )
    return value


def _as_rows(rows: Any) -> Any:
    if is_table(rows):
        rows = rows.to_numpy()
    if isinstance(rows, np.ndarray) and rows.dtype.kind in "UO":
        rows = rows.tolist()
    is_list = isinstance(rows, (list, tuple)) or getattr(rows, "shape", None)
    if not is_list or not len(rows):
        kind = repr(rows) if isinstance(rows, str) else type(rows).__name__
        raise TypeError(
            "`x` must be a list or an array of raw rows, at least one, for an embedder with a "
            f"preprocessor. Received: {kind}. For a data set, preprocess its batches, and use an "
            "embedder without preprocessor."
        )
    return rows
