"""ClassBalanced: batches with equal numbers of rows of several classes."""

import random
from typing import Any

import keras
import numpy as np

from keras_contrastive import _checks
from keras_contrastive._engine import ids_of_array, to_numpy
from keras_contrastive._replicas import num_data_shards
from keras_contrastive._typing import Array, ArrayLike, Structure
from keras_contrastive.samplers._schedule import num_batches_of_pass, rows_of_pass


class ClassBalanced(keras.utils.PyDataset):
    """Makes batches of `classes_per_batch` different classes with `rows_per_class` rows each.

    Use it with labels and a loss such as `SupCon`, whose positives are rows with the same label. In
    random batches of many classes, most rows have no positive. Pass it to `fit` of a
    `ContrastiveTrainer` or of a plain `keras.Model`: `model.fit(batches, epochs=10)`.

    A pass is the smallest number of batches that contain each row. In a pass, each row is served
    once before any row of its class is served twice. If each class has the same number of rows, a
    multiple of `rows_per_class`, and the batches come out even, each row is served exactly once.
    Otherwise rows are repeated where a batch must be filled: those of small classes, so that all
    classes have equal weight. A class with fewer rows than `rows_per_class` repeats them within a
    batch.

    The order depends on the seed and the number of the epoch, and differs in each epoch.

    * `ContrastiveTrainer` sets the epoch. An interrupted `fit` continues in the middle of an epoch,
      as with arrays. Several processes get parts of the same batch.
    * A plain `keras.Model` does not pass the number of the epoch to a data set. To resume exactly,
      pass a `seed` here, and `shuffle=False` and this callback to `fit`:
      `LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.start_epoch(epoch))`. Give it one
      worker: Keras 3.15 with more workers repeats some batches of its first `fit`.

    There is no sampler for batches of neighbors. Pass mined rows as hard negatives, see
    `keras_contrastive.evaluation.mine_hard_negatives`.

    Args:
        x: An array `(rows, ...)`, or a dict or another structure of arrays.
        y: Integer labels `(rows,)` or `(rows, 1)`, in `[0, 2**31)`.
        classes_per_batch: Int, at least 2 and at most the number of classes.
        rows_per_class: Positive int.
        steps_per_epoch: `None` for one pass in each epoch, or the number of batches of an epoch.
            The next epoch continues the pass. Do not pass `steps_per_epoch` to `fit`.
        seed: Int, or `None` to draw one from Python's `random`, which
            `keras.utils.set_random_seed` seeds. With `None`, `ContrastiveTrainer` uses the seed
            that it saves.
        **kwargs: See `keras.utils.PyDataset`: `workers`, `use_multiprocessing`, `max_queue_size`.

    Returns:
        A data set of batches `(x, labels)`. The rows of a batch are one row of each class, then
        another one of each class, and so on. Labels are int32.

    Raises:
        TypeError: If `x` does not hold arrays, or `y` not integers.
        ValueError: If `x` and `y` have different numbers of rows, there are too few classes, or
            `keras.distribution` cannot split a batch evenly.

    Reference:
        - [Hermans et al., 2017](https://arxiv.org/abs/1703.07737), Sec. 2, batches of P classes
          with K rows each.

    Example:

    >>> x, labels = np.arange(6.0), np.array([0, 0, 5, 5, 9, 9])
    >>> batches = ClassBalanced(x, labels, classes_per_batch=3, rows_per_class=2, seed=1)
    >>> batches.num_batches
    1
    >>> rows, labels = batches[0]
    >>> sorted(rows.tolist()), sorted(labels.tolist())
    ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [0, 0, 5, 5, 9, 9])
    """

    def __init__(
        self,
        x: Structure,
        y: ArrayLike,
        classes_per_batch: int,
        rows_per_class: int,
        steps_per_epoch: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.y = ids_of_array(y, "y")
        self.x = _checked_arrays(x, len(self.y))
        self.classes_per_batch = _checks.positive_int("classes_per_batch", classes_per_batch)
        self.rows_per_class = _checks.positive_int("rows_per_class", rows_per_class)
        self.steps_per_epoch = _checks.optional_positive_int("steps_per_epoch", steps_per_epoch)
        self.seed = None if seed is None else _checks.non_negative_int("seed", seed)
        self._labels = np.unique(self.y, return_inverse=True)[1]
        sizes = np.bincount(self._labels)
        _check_classes(sizes, self.classes_per_batch, self.rows_per_class)
        self._batches_of_pass = num_batches_of_pass(
            sizes, self.classes_per_batch, self.rows_per_class
        )
        self._drawn_seed = random.randrange(2**31)
        self._epoch = self._skipped = 0
        self._passes: dict[tuple[int, int], Array] = {}

    def start_epoch(self, epoch: int, skipped: int = 0, seed: int | None = None) -> None:
        """Sets the epoch. `ContrastiveTrainer` calls it.

        Args:
            epoch: Number of the epoch.
            skipped: Number of leading batches that a resumed run leaves out.
            seed: `None`, or the seed of the run, which counts if the data set has none.
        """
        if seed is not None:
            self._drawn_seed = seed
        self._epoch, self._skipped = epoch, skipped

    def on_epoch_end(self) -> None:
        # Not `on_epoch_begin`, which Keras calls after its workers have started.
        self._epoch, self._skipped = self._epoch + 1, 0

    @property
    def num_batches(self) -> int:
        return (self.steps_per_epoch or self._batches_of_pass) - self._skipped

    def __getitem__(self, index: int) -> tuple[Structure, Array]:
        steps = self.steps_per_epoch or self._batches_of_pass
        number, batch = divmod(self._epoch * steps + self._skipped + index, self._batches_of_pass)
        rows = self._rows_of_pass(number)[batch]
        return keras.tree.map_structure(lambda array: _taken(array, rows), self.x), self.y[rows]

    def _rows_of_pass(self, number: int) -> Array:
        seed = self._drawn_seed if self.seed is None else self.seed
        passes = self._passes  # workers share it, and each replaces it
        if (seed, number) not in passes:
            shape = self.classes_per_batch, self.rows_per_class
            rows = rows_of_pass(self._labels, *shape, np.random.default_rng((seed, number)))
            latest = list(passes.items())[-1:]  # an epoch may reach into two passes
            self._passes = passes = {**dict(latest), (seed, number): rows}
        return passes[seed, number]


def _checked_arrays(x: Structure, num_rows: int) -> Structure:
    arrays = keras.tree.map_structure(_as_array, x)
    shapes = [array.shape for array in keras.tree.flatten(arrays)]
    if not shapes or any(shape[:1] != (num_rows,) for shape in shapes):
        raise ValueError(
            "`x` must be an array, or a structure of arrays, with one row for each label. "
            f"Received: x of shape {', '.join(map(str, shapes)) or '()'}, {num_rows} labels."
        )
    return arrays


def _as_array(array: Any) -> Array:
    if not hasattr(array, "shape"):
        raise TypeError(
            "`x` must be an array, or a dict or another structure of arrays. "
            f"Received: x with {type(array).__name__}. Convert lists with `np.array`."
        )
    return array if isinstance(array, np.ndarray) else to_numpy(array)


def _taken(array: Array, rows: Array) -> Array:
    taken = array[rows]
    return taken.astype(keras.config.floatx()) if taken.dtype == "float64" else taken


def _check_classes(sizes: Array, classes_per_batch: int, rows_per_class: int) -> None:
    if not 2 <= classes_per_batch <= len(sizes):
        raise ValueError(
            f"`classes_per_batch` must be at least 2, and at most {len(sizes)}, the number of "
            f"classes in `y`. Received: classes_per_batch={classes_per_batch}. Rows of one class "
            "have no negatives."
        )
    shards, rows = num_data_shards(), classes_per_batch * rows_per_class
    if rows % shards:
        raise ValueError(
            f"`classes_per_batch * rows_per_class` must be divisible by {shards}, the number of "
            f"data shards of `keras.distribution`. Received: {classes_per_batch} * "
            f"{rows_per_class} = {rows}."
        )
    single = np.count_nonzero(sizes == 1)
    if single and rows_per_class > 1:
        _checks.warn(
            f"`y` has {single} classes with one row, which a batch contains {rows_per_class} "
            "times. Its positives are copies of itself. Leave these classes out, or train with an "
            "augmenter."
        )
