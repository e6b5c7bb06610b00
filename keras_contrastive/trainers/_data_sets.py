"""Data sets whose batches are checked on the host, when they are served."""

import contextlib
import copy
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_contrastive._engine import LARGEST_ID
from keras_contrastive._typing import Structure
from keras_contrastive.trainers._contract import DataContract
from keras_contrastive.trainers._epoch_data import shard_of


def checked(data: Any, contract: DataContract) -> Any:
    """Returns the same data set with a check of each batch. Unknown kinds of data stay as they are.

    Nothing is drawn before training, so that no batch is drawn twice or lost.

    Raises:
        TypeError: If the structure of a `tf.data.Dataset` does not fit.
        ValueError: If it lacks inputs.
    """
    check = contract.checked_batch
    if isinstance(data, keras.utils.PyDataset):
        return mapped(data, check)
    if inspect.isgenerator(data):
        return (check(batch) for batch in data)
    if _is_a("tensorflow", "data.Dataset", data):
        return _checked_tf_data(data, contract)
    if _is_a("torch", "utils.data.DataLoader", data):
        loader = copy.copy(data)
        loader.collate_fn = _Composed(_Composed(loader.collate_fn, check), _in_a_tuple)
        return loader
    return data


class MappedDataset(keras.utils.PyDataset):
    """A data set with a function that is applied to each batch.

    Args:
        dataset: A `keras.utils.PyDataset`.
        function: A function of a batch. With several worker processes, it is pickled.
    """

    def __init__(self, dataset: Any, function: Callable[[Structure], Structure]) -> None:
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self.dataset = dataset
        self.function = function

    @property
    def num_batches(self) -> int | None:
        return self.dataset.num_batches

    def __getitem__(self, index: int) -> Structure:
        return self.function(self.dataset[index])

    def on_epoch_begin(self) -> None:
        self.dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.dataset.on_epoch_end()


class OrderedDataset(MappedDataset):
    """A `MappedDataset` of a data set whose order depends on the epoch, such as `ClassBalanced`."""

    @property
    def num_batches(self) -> int:
        return int(self.dataset.num_batches)

    def start_epoch(self, epoch: int, skipped: int, seed: int) -> None:
        """Sets the order of an epoch. See `keras_contrastive.samplers.ClassBalanced`."""
        self.dataset.start_epoch(epoch, skipped, seed)


def mapped(dataset: Any, function: Callable[[Structure], Structure]) -> MappedDataset:
    """Returns a `keras.utils.PyDataset` with a function that is applied to each batch."""
    kind = OrderedDataset if hasattr(dataset, "start_epoch") else MappedDataset
    return kind(dataset, function)


@dataclasses.dataclass(frozen=True)
class TakeShard:
    """Returns the rows of a batch that one of several processes takes.

    Args:
        shard: `(index, count)`.
    """

    shard: tuple[int, int]

    def __call__(self, batch: Structure) -> Structure:
        return keras.tree.map_structure(lambda array: shard_of(array, self.shard), batch)


@dataclasses.dataclass(frozen=True)
class _Composed:
    first: Callable[[Any], Any]
    second: Callable[[Any], Any]

    def __call__(self, x: Any) -> Any:
        return self.second(self.first(x))


def _in_a_tuple(batch: Structure) -> Structure:
    """Returns `(x,)` if a batch is `x` alone. Keras makes a tuple of a dict from its keys."""
    return batch if isinstance(batch, (tuple, list)) else (batch,)


def _checked_tf_data(dataset: Any, contract: DataContract) -> Any:
    import tensorflow as tf

    spec = dataset.element_spec
    contract.check_spec(spec)
    if not isinstance(spec, (tuple, list)) or len(spec) < 2 or spec[1] is None:
        return dataset
    counts = contract.num_items, contract.num_classes
    limit = min([LARGEST_ID, *(count - 1 for count in counts if count is not None)])

    def check(x: Any, y: Any, *rest: Any) -> Any:
        extra = [(name, x[name], LARGEST_ID) for name, _ in contract.hard_negative_ids]
        for name, ids, highest in [("y", y, limit), *extra]:
            ids = tf.cast(ids, tf.int64)
            in_range = tf.reduce_all((ids >= 0) & (ids <= highest))
            tf.debugging.Assert(in_range, [OUT_OF_RANGE.format(name=name, limit=highest)])
        return (x, y, *rest)

    return dataset.map(check)


# In an error of TensorFlow, this text marks an error of ours.
OUT_OF_RANGE = (
    "`{name}` must hold ids in [0, {limit}]. Received: other ids. Map keys to row numbers first, "
    "for example with `np.unique(keys, return_inverse=True)[1]`."
)


@contextlib.contextmanager
def errors_in_our_words() -> Iterator[None]:
    """Raises our own errors of a data pipeline, which TensorFlow wraps in errors of its own."""
    try:
        yield
    except Exception as error:
        from_tensorflow = type(error).__module__.startswith("tensorflow")
        ours = _wrapped_error(str(error)) if from_tensorflow else None
        if ours is None:
            raise
        raise ours from error


def _wrapped_error(text: str) -> Exception | None:
    pattern = re.escape(OUT_OF_RANGE.format(name="NAME", limit="LIMIT"))
    found = re.search(pattern.replace("NAME", r"\w+").replace("LIMIT", r"\d+"), text)
    if found is not None:
        return ValueError(found[0])
    found = re.search(r"\b(ValueError|TypeError): (.+)", text)
    if found is None or "keras_contrastive" not in text:
        return None
    return {"ValueError": ValueError, "TypeError": TypeError}[found[1]](found[2])


def _is_a(package: str, name: str, data: Any) -> bool:
    """Returns whether `data` is an object of a class of a package that may not be installed."""
    found: Any = sys.modules.get(package)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is not None and isinstance(data, found)
