"""Data sets of an evaluation, which are read batch by batch."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_contrastive._engine import to_numpy, without_column_axis
from keras_contrastive._typing import Array, ArrayLike, Structure
from keras_contrastive.evaluation._inputs import checked_integers, rows_of


def is_data_set(x: Any, name: str) -> bool:
    """Returns whether `x` is a data set, rather than arrays or an object for `embed`.

    Args:
        x: Inputs of an evaluation.
        name: The name of the argument, for messages.

    Raises:
        TypeError: If `x` can be read only once.
        ValueError: If it never ends.
    """
    if isinstance(x, keras.utils.PyDataset):
        if x.num_batches is None:
            raise ValueError(_endless(name, "`num_batches` is `None`"))
        return True
    is_rows = isinstance(x, (Mapping, list, tuple, str, bytes)) or hasattr(x, "shape")
    if is_rows or not isinstance(x, Iterable):
        return False
    if isinstance(x, Iterator):
        raise TypeError(
            f"`{name}` must be a data set that can be read several times. "
            f"Received: `{type(x).__name__}`. "
            "Pass a `tf.data.Dataset`, `PyDataset` or `DataLoader`."
        )
    cardinality = getattr(x, "cardinality", None)
    if callable(cardinality) and int(cardinality()) == -1:  # `tf.data.INFINITE_CARDINALITY`
        raise ValueError(_endless(name, "it repeats forever"))
    return True


def _endless(name: str, reason: str) -> str:
    return f"`{name}` must be a data set that ends. Received: one that does not, since {reason}."


def batches(data: Any, name: str) -> Iterator[tuple[Structure, Array | None]]:
    """Yields the inputs of each batch of a data set, and its labels or ids, as NumPy arrays.

    Args:
        data: A data set with batches `x`, `(x, y)` or `(x, y, sample_weight)`, as for `fit`.
        name: The name of the argument, for messages.
    """
    count = 0
    for batch in _batches(data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        x = keras.tree.map_structure(to_numpy, x)
        if y is not None:
            y = without_column_axis(to_numpy(y))
        count += 1
        yield x, y
    if not count:
        raise ValueError(f"`{name}` must have at least one batch. Received: an empty data set.")


def _batches(data: Any) -> Iterator[Any]:
    if isinstance(data, keras.utils.PyDataset):
        return (data[index] for index in range(data.num_batches or 0))
    return iter(data)


def checked_labels(
    x: Structure, labels: ArrayLike | None, names: tuple[str, str], takes_arrays: bool
) -> Array | None:
    """Returns labels as an int array `(rows,)`, or `None` for a data set, which contains them.

    Args:
        x: Arrays, a data set or, unless `takes_arrays`, any object.
        labels: The value to check.
        names: The names of `x` and of `labels`, for messages.
        takes_arrays: Whether `x` is arrays or a data set.
    """
    if is_data_set(x, names[0]):
        if labels is None:
            return None
        raise ValueError(
            f"`{names[1]}` must be `None` if `{names[0]}` is a data set, whose batches contain the "
            "labels. Received: both."
        )
    rows = rows_of(x, names[0]) if takes_arrays else None
    return checked_integers(labels, rows, names)


def labeled_embeddings(
    embed: Callable[[Structure], ArrayLike], x: Any, labels: Array | None, name: str
) -> tuple[ArrayLike, Array]:
    """Returns embeddings `(rows, dim)` and labels, int `(rows,)`.

    Args:
        embed: Function from inputs to embeddings.
        x: Inputs, or a data set with batches `(inputs, labels)` if `labels` is `None`.
        labels: Int array `(rows,)` or `None`.
        name: The name of `x`, for messages.
    """
    if labels is not None:
        return embed(x), labels
    parts = []
    for inputs, y in batches(x, name):
        if y is None:
            raise ValueError(
                f"`{name}` must be a data set with batches `(x, labels)`. Received: no labels."
            )
        embeddings = keras.ops.convert_to_numpy(embed(inputs))
        names = f"a batch of {name}", f"labels of {name}"
        parts.append((embeddings, checked_integers(y, len(embeddings), names)))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
