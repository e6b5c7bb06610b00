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
    if any(_is_a("grain", name, data) for name in ("MapDataset", "IterDataset")):
        return data.map(check)
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
    """Checks the structure now, and ids, presence and sample weights when they are served."""
    import tensorflow as tf

    spec = dataset.element_spec
    contract.check_spec(spec)
    if not contract.has_ids:
        return dataset
    counts = contract.num_items, contract.num_classes
    limit = min([LARGEST_ID, *(count - 1 for count in counts if count is not None)])

    def check_ids(name: str, ids: Any, highest: int) -> None:
        ids = tf.cast(ids, tf.int64)
        message = OUT_OF_RANGE.format(name=name, limit=highest)
        tf.debugging.Assert(tf.reduce_all((ids >= 0) & (ids <= highest)), [message])

    def check(*parts: Any) -> Any:
        x, y, weights = (*parts, None, None)[:3]
        if y is not None:
            check_ids("y", y, limit)
            for name, _ in contract.hard_negative_ids:
                check_ids(name, x[name], LARGEST_ID)
        for name, _ in contract.present:
            is_known = (x[name] == tf.zeros_like(x[name])) | (x[name] == tf.ones_like(x[name]))
            tf.debugging.Assert(tf.reduce_all(is_known), [NOT_BOOL.format(name=name)])
        if weights is not None:
            values = tf.cast(weights, tf.float32)
            is_right = tf.math.is_finite(values) & (values >= 0)
            tf.debugging.Assert(tf.reduce_all(is_right), [WRONG_WEIGHTS])
        return parts if isinstance(spec, (tuple, list)) else x

    return dataset.map(check)


# In an error of TensorFlow, these texts mark an error of ours.
OUT_OF_RANGE = (
    "`{name}` must hold ids in [0, {limit}]. Received: other ids. Map keys to row numbers first, "
    "for example with `np.unique(keys, return_inverse=True)[1]`."
)
NOT_BOOL = "`{name}` must be bool: whether a row has the modality. Received: other numbers."
WRONG_WEIGHTS = "`sample_weight` must be finite and at least 0. Received: other numbers."


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
    for message in (OUT_OF_RANGE, NOT_BOOL, WRONG_WEIGHTS):
        pattern = re.escape(message.format(name="NAME", limit="LIMIT"))
        found = re.search(pattern.replace("NAME", r"\w+").replace("LIMIT", r"\d+"), text)
        if found is not None:
            return ValueError(found[0])
    found = re.search(r"\b(ValueError|TypeError): (.+)", text)
    if found is None or "keras_contrastive" not in text:
        return None
    return {"ValueError": ValueError, "TypeError": TypeError}[found[1]](found[2])


def samplers_of(data: Any) -> list[Any]:
    """Returns the samplers of a `DataLoader` that have an order for each epoch.

    `torch.utils.data.DistributedSampler` is one. Unless `set_epoch` is called, its order stays.
    """
    if not _is_a("torch", "utils.data.DataLoader", data):
        return []
    samplers = [data.sampler, data.batch_sampler]
    return [sampler for sampler in samplers if hasattr(sampler, "set_epoch")]


def _is_a(package: str, name: str, data: Any) -> bool:
    """Returns whether `data` is an object of a class of a package that may not be installed."""
    found: Any = sys.modules.get(package)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is not None and isinstance(data, found)
