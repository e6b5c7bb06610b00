"""Arrays as batches in a known order, which several processes share and a resumed run continues."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_contrastive._engine import LARGEST_ID
from keras_contrastive._replicas import num_data_shards
from keras_contrastive._typing import ArrayLike, Structure

BATCH_SIZE = 32  # the default of Keras


class ArrayBatches(keras.utils.PyDataset):
    """Batches of arrays, in an order that depends only on a seed and the epoch.

    Args:
        arrays: A tuple `(x,)`, `(x, y)` or `(x, y, sample_weight)` of (structures of) arrays.
        batch_size: Positive int, rows of the global batch.
        shuffle: Whether the rows are shuffled in each epoch.
        shard: `(index, count)`: each process takes one of `count` parts of each batch.
        steps: `None` for one pass over the rows in each epoch, or the number of batches of an
            epoch. The next epoch continues the pass.
    """

    def __init__(
        self,
        arrays: Structure,
        batch_size: int,
        shuffle: bool = False,
        shard: tuple[int, int] = (0, 1),
        steps: int | None = None,
    ) -> None:
        super().__init__()
        self.arrays = keras.tree.map_structure(_as_numpy, arrays)
        self.num_rows = len(keras.tree.flatten(self.arrays)[0])
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.shard = shard
        self.batches_of_a_pass = -(-self.num_rows // batch_size)
        self.steps = steps or self.batches_of_a_pass
        self.start_epoch(0, 0, 0)

    def start_epoch(self, epoch: int, skipped: int, seed: int) -> None:
        """Sets the order of an epoch.

        Args:
            epoch: Number of the epoch.
            skipped: Number of leading batches that a resumed run leaves out.
            seed: Seed of the run.
        """
        self.first = epoch * self.steps + skipped  # counted over all epochs
        self.skipped = skipped
        self.seed = seed
        self._order: tuple[int, np.ndarray] | None = None

    @property
    def num_batches(self) -> int:
        return self.steps - self.skipped

    def __getitem__(self, index: int) -> Structure:
        number, place = divmod(self.first + index, self.batches_of_a_pass)
        start = place * self.batch_size
        rows = shard_of(self._order_of(number)[start : start + self.batch_size], self.shard)
        return keras.tree.map_structure(lambda array: array[rows], self.arrays)

    def _order_of(self, number: int) -> np.ndarray:
        """Returns the rows of a pass in their order."""
        if self._order is None or self._order[0] != number:
            order = np.arange(self.num_rows)
            if self.shuffle:
                order = np.random.default_rng((self.seed, number)).permutation(self.num_rows)
            self._order = number, order
        return self._order[1]


def shard_of(rows: ArrayLike, shard: tuple[int, int]) -> ArrayLike:
    """Returns part `index` of `count` equal parts. The sizes differ by one row at most."""
    index, count = shard
    return rows[len(rows) * index // count : len(rows) * (index + 1) // count]


def is_rows(x: Structure) -> bool:
    """Returns whether `x` is an array or a structure of arrays, rather than a data set."""
    return isinstance(x, (Mapping, list, tuple)) or getattr(x, "shape", None) is not None


def row_numbers(x: Structure, num_items: int | None = None) -> np.ndarray | None:
    """Returns row numbers as ids, or `None` if `x` is a data set, whose batches contain the ids.

    Raises:
        ValueError: If `num_items` is given and differs from the number of rows.
    """
    if not is_rows(x):
        return None
    rows = keras.tree.flatten(x)[0].shape[0]
    if num_items is not None and rows != num_items:
        raise ValueError(
            "`x` must have one row for each of the `num_items` items of the loss if there are no "
            f"ids. Received: num_items={num_items}, {rows} rows. Pass the ids of the rows as `y`, "
            "or the number of rows as `num_items`."
        )
    return np.arange(rows, dtype="int32")


def ids_for_weights(
    x: Structure, y: ArrayLike | None, sample_weight: ArrayLike | None, new: bool = False
) -> ArrayLike | None:
    """Returns ids if there are sample weights. Without `y`, Keras drops sample weights of arrays.

    Args:
        x: Inputs.
        y: Ids, or `None`.
        sample_weight: Weights, or `None`.
        new: Whether the rows are other items than those of the training data.
    """
    if y is not None or sample_weight is None:
        return y
    rows = row_numbers(x)
    return new_ids(rows) if new and rows is not None else rows


def new_ids(rows: ArrayLike) -> np.ndarray:
    """Returns the largest ids in place of row numbers. Those in a queue are other items."""
    return (LARGEST_ID - np.asarray(rows, "int64")).astype("int32")


def split_off(arrays: Sequence[Structure], fraction: float) -> tuple[Structure, Structure]:
    """Returns arrays without their last rows, and the last rows, as `validation_split` does."""
    rows = len(keras.tree.flatten(arrays)[0])
    at = int(rows * (1 - fraction))
    if not 0 < at < rows:
        raise ValueError(
            "`validation_split` must leave rows for training and for validation. "
            f"Received: validation_split={fraction}, {rows} rows."
        )
    first = keras.tree.map_structure(lambda array: array[:at], arrays)
    return first, keras.tree.map_structure(lambda array: array[at:], arrays)


def check_divisible(num_rows: int, batch_size: int) -> None:
    """Raises a `ValueError` if `keras.distribution` cannot split the batches evenly."""
    shards = num_data_shards()
    last = num_rows % batch_size
    if batch_size % shards or last % shards:
        rest = f" and a last one of {last}" if last else ""
        raise ValueError(
            f"Batch sizes must be divisible by {shards}, the number of data shards of "
            f"`keras.distribution`. Received: {num_rows} rows, which make batches of {batch_size}"
            f"{rest}. Choose another `batch_size`, or leave out the last rows."
        )


def _as_numpy(array: ArrayLike) -> np.ndarray:
    array = keras.ops.convert_to_numpy(array) if keras.ops.is_tensor(array) else np.asarray(array)
    if array.dtype.kind in "USO":
        raise TypeError(
            "`x` must hold numbers if it is arrays. Received: strings or objects. "
            "Pass a `tf.data.Dataset` of the strings, or make token ids first."
        )
    return array.astype(keras.config.floatx()) if array.dtype == "float64" else array
