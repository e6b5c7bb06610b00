"""Arrays as batches whose order is known: it can be shared among processes, and taken up again."""

import keras
import numpy as np

from keras_contrastive._replicas import num_data_shards


class Rows(keras.utils.PyDataset):
    """Batches of arrays, in an order that depends on a seed and the epoch alone.

    Args:
        arrays: A tuple `(x,)`, `(x, y)` or `(x, y, sample_weight)` of (structures of) arrays.
        batch_size: Positive int, of the whole batch.
        shuffle: Whether the rows are shuffled in each epoch.
        part: `(index, count)`: which part of each batch this process takes, of how many.
    """

    def __init__(self, arrays, batch_size, shuffle=False, part=(0, 1)):
        super().__init__()
        self.arrays = keras.tree.map_structure(_as_numpy, arrays)
        self.num_rows = len(keras.tree.flatten(self.arrays)[0])
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.part = part
        self.order = np.arange(self.num_rows)
        self.skipped = 0

    def begin(self, seed, epoch, skipped=0):
        """Take the order of this epoch, without its first batches if some are done already."""
        if self.shuffle:
            self.order = np.random.default_rng((seed, epoch)).permutation(self.num_rows)
        self.skipped = skipped

    @property
    def num_batches(self):
        return -(-self.num_rows // self.batch_size) - self.skipped

    def __getitem__(self, index):
        start = (index + self.skipped) * self.batch_size
        rows = own_part(self.order[start : start + self.batch_size], self.part)
        return keras.tree.map_structure(lambda array: array[rows], self.arrays)


class Part(keras.utils.PyDataset):
    """Of each batch of a data set, the rows that this process takes.

    Args:
        whole: A `keras.utils.PyDataset`.
        part: `(index, count)`.
    """

    def __init__(self, whole, part):
        super().__init__(workers=whole.workers, use_multiprocessing=whole.use_multiprocessing)
        self.whole = whole
        self.part = part

    @property
    def num_batches(self):
        return self.whole.num_batches

    def __getitem__(self, index):
        return keras.tree.map_structure(lambda array: own_part(array, self.part), self.whole[index])

    def on_epoch_begin(self):
        self.whole.on_epoch_begin()

    def on_epoch_end(self):
        self.whole.on_epoch_end()


def own_part(rows, part):
    """The rows of part `index` of `count`; sizes differ by one at most."""
    index, count = part
    return rows[len(rows) * index // count : len(rows) * (index + 1) // count]


def are_arrays(x):
    """Whether this is a structure of arrays with rows, not a data set of some kind."""
    leaves = keras.tree.flatten(x)
    return bool(leaves) and all(getattr(leaf, "shape", ()) for leaf in leaves)


def row_numbers(x, num_items=None):
    """The ids of rows that have none, or `None` where `x` is a data set: its batches bring their ids."""
    if not are_arrays(x):
        return None
    rows = keras.tree.flatten(x)[0].shape[0]
    if num_items is not None and rows != num_items:
        raise ValueError(
            f"The loss remembers `num_items={num_items}` items, and `x` has {rows} rows without ids. "
            "Pass the ids of the rows as `y`, or the number of rows as `num_items`."
        )
    return np.arange(rows, dtype="int32")


def ids_for_weights(x, y, sample_weight, new=False):
    """The ids, made up where there are none but weights: without `y`, Keras drops the sample weights of arrays."""
    if y is not None or sample_weight is None:
        return y
    rows = row_numbers(x)
    # New rows are none of those that a queue may remember.
    return 2**31 - 1 - rows if new and rows is not None else rows


def split_off(arrays, share):
    """Arrays without their last rows, and these: what Keras does for `validation_split`."""
    rows = len(keras.tree.flatten(arrays)[0])
    at = int(rows * (1 - share))
    if not 0 < at < rows:
        raise ValueError(
            f"`validation_split` leaves no rows on one side. Received: {share} of {rows} rows."
        )
    parts = (slice(None, at), slice(at, None))
    return tuple(
        keras.tree.map_structure(lambda array, part=part: array[part], arrays) for part in parts
    )


def check_divisible(num_rows, batch_size):
    """Refuse batches that `keras.distribution` cannot split."""
    shards = num_data_shards()
    last = num_rows % batch_size
    if batch_size % shards or last % shards:
        raise ValueError(
            f"`keras.distribution` splits each batch evenly over {shards} devices, and this one does not divide: "
            f"{num_rows} rows make batches of {batch_size}"
            + (f" and a last one of {last}" if last else "")
            + ". "
            "Choose another `batch_size`, or leave out the last rows."
        )


def _as_numpy(array):
    array = keras.ops.convert_to_numpy(array) if keras.ops.is_tensor(array) else np.asarray(array)
    return array.astype(keras.config.floatx()) if array.dtype == "float64" else array
