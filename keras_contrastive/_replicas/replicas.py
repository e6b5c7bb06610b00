"""What a replica knows of the batch whose rows it holds together with others."""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_contrastive._replicas import tensorflow_replicas, torch_processes


@dataclasses.dataclass(frozen=True)
class SharedBatch:
    """A batch of which this replica holds some rows: those of replica 0 come first, then those of replica 1, ...

    Args:
        num_rows: How many rows this replica holds, an int or a scalar tensor; 0 for a replica that has none left.
        first: The place of its first row in the whole batch.
        share: What a number that every replica computes alike must be multiplied with for the engine to count it
            once: 1 / replicas where the engine adds the gradients of the replicas, 1 where it takes their mean.
        gather: From a tensor `(num_rows, ...)` to that of the whole batch. Its gradient is the sum over the replicas of
            what each of them says of these rows.
        stack: From a tensor of one shape on all replicas to `(replicas, ...)`, with the gradient of `gather`.
    """

    num_rows: Any
    first: Any
    share: float
    gather: Callable[[Any], Any]
    stack: Callable[[Any], Any]

    @property
    def rows(self):
        """The places of the rows of this replica in the whole batch, int32 `(num_rows,)`."""
        return self.first + ops.arange(self.num_rows, dtype="int32")

    def own(self, x):
        """The rows of this replica out of a tensor of the whole batch."""
        return x[self.first : self.first + self.num_rows]

    def others(self, x):
        """The rows of all other replicas, as a list of two tensors."""
        return [x[: self.first], x[self.first + self.num_rows :]]


def shared_batch(rows):
    """The batch that this replica shares with others, or `None` if it holds the whole of it.

    * On TensorFlow there are others in the replica context of a `tf.distribute` strategy.
    * On PyTorch, inside `across_processes()`, where a process group of several processes exists.
    * On JAX every program sees the whole batch: `keras.distribution` splits the computation, not the rows.

    All replicas must call it together, since they tell each other how many rows they hold.

    Args:
        rows: A tensor with the rows of this replica, or their number.
    """
    num_rows = ops.shape(rows)[0] if hasattr(rows, "shape") and len(rows.shape) else rows
    if keras.backend.backend() == "tensorflow" and tensorflow_replicas.count() > 1:
        return SharedBatch(*tensorflow_replicas.share(num_rows))
    if keras.backend.backend() == "torch" and _across:
        return SharedBatch(*torch_processes.share(num_rows))
    return None


_across = 0  # how many `across_processes()` we are in, where there are several processes


@contextlib.contextmanager
def across_processes():
    """Within it, the rows that the processes of a PyTorch process group hold are one batch.

    `ContrastiveTrainer` does so in each step. A training loop of your own, with `DistributedDataParallel` say, puts its
    call of the loss inside. All processes must compute the same losses in the same order, and the mean of their
    gradients is the gradient of the whole batch, as `DistributedDataParallel` takes it.

    Elsewhere it changes nothing, nor where `keras.distribution` has a distribution of its own.

    Example:

    >>> with across_processes():
    ...     loss = keras_contrastive.losses.InfoNCE(temperature=1.0)(None, (keras.ops.eye(2), keras.ops.eye(2)))
    >>> round(float(loss), 4)
    0.3133
    """
    global _across
    several = num_processes() > 1
    _across += several
    try:
        yield
    finally:
        _across -= several


def num_processes():
    """How many processes of a PyTorch process group train together; 1 on other backends."""
    if keras.backend.backend() != "torch" or keras.distribution.distribution() is not None:
        return 1
    return torch_processes.count()


def process_index():
    """Which of them this is, from 0 on."""
    return torch_processes.rank() if num_processes() > 1 else 0


def warn_if_local():
    """Warn where several processes compute, and this one is about to compare its own rows only."""
    if _across or keras.backend.backend() != "torch":
        return
    launched = torch_processes.launched()
    if num_processes() > 1:
        warnings.warn(
            f"{num_processes()} processes train together, but this loss compares the rows of this process only: the "
            "negatives are local, and the batch is smaller than it looks. Train with "
            "`keras_contrastive.ContrastiveTrainer`, or put the loss inside "
            "`keras_contrastive.distribution.across_processes()` and take the mean of the gradients.",
            stacklevel=2,
        )
    elif launched > 1:
        warnings.warn(
            f"This is one of {launched} processes (WORLD_SIZE), but there is no process group: each trains a model of "
            'its own. Call `torch.distributed.init_process_group()` first ("nccl" on GPUs, "gloo" on CPUs).',
            stacklevel=2,
        )
