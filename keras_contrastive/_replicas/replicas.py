"""Replicas: the rows of one batch on several devices, and how they are gathered."""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator

import keras
from keras import ops

from keras_contrastive._replicas import tensorflow_replicas, torch_processes
from keras_contrastive._typing import Tensor


@dataclasses.dataclass(frozen=True)
class Replicas:
    """The rows of this replica within a global batch.

    The global batch holds the rows of replica 0, then those of replica 1, and so on.

    Args:
        num_rows: Number of rows on this replica, an int or a scalar tensor. It may be 0.
        first: Position of the first row of this replica in the global batch.
        loss_scale: Factor for a loss that each replica computes in full: 1 / replicas if the
            backend sums gradients over replicas, 1 if it averages them.
        gather: Maps local rows `(num_rows, ...)` to those of the global batch. Its gradient is the
            sum of the gradients of all replicas.
        stack: Maps a tensor of equal shape on all replicas to `(replicas, ...)`, with the gradient
            of `gather`.
    """

    num_rows: Tensor
    first: Tensor
    loss_scale: float
    gather: Callable[[Tensor], Tensor]
    stack: Callable[[Tensor], Tensor]

    @property
    def rows(self) -> Tensor:
        """Positions of the local rows in the global batch, int32 `(num_rows,)`."""
        return self.first + ops.arange(self.num_rows, dtype="int32")

    def local(self, x: Tensor) -> Tensor:
        """Returns the rows of this replica from a tensor of the global batch."""
        return x[self.first : self.first + self.num_rows]

    def others(self, x: Tensor) -> list[Tensor]:
        """Returns the rows before and after those of this replica."""
        return [x[: self.first], x[self.first + self.num_rows :]]


def current_replicas(rows: Tensor) -> Replicas | None:
    """Returns how the current batch is spread over replicas, or `None` if it is not.

    * TensorFlow: other replicas exist in the replica context of a `tf.distribute` strategy.
    * PyTorch: other replicas exist inside `across_processes()`, if a process group is initialized.
    * JAX: each program holds the global batch, since `keras.distribution` splits the computation.

    All replicas must call this function together, because they exchange their numbers of rows.

    Args:
        rows: A tensor with the local rows, or their number.
    """
    has_rows = hasattr(rows, "shape") and len(rows.shape) > 0
    num_rows = ops.shape(rows)[0] if has_rows else rows
    if keras.backend.backend() == "tensorflow" and tensorflow_replicas.count() > 1:
        return Replicas(*tensorflow_replicas.exchange_sizes(num_rows))
    if keras.backend.backend() == "torch" and _across:
        return Replicas(*torch_processes.exchange_sizes(num_rows))
    return None


_across = 0  # depth of nested `across_processes()` blocks, counted only with several processes


@contextlib.contextmanager
def across_processes() -> Iterator[None]:
    """Treats the rows of all processes of a PyTorch process group as one batch.

    `ContrastiveTrainer` does this in each step. In a custom training loop, for example with
    `DistributedDataParallel`, call the loss inside this block. All processes must compute the same
    losses in the same order. The mean of their gradients is the gradient of the global batch, and
    `DistributedDataParallel` computes that mean.

    The block has no effect on other backends, with one process, or under a `keras.distribution`.

    Example:

    >>> with across_processes():
    ...     z = keras.ops.eye(2)
    ...     loss = keras_contrastive.losses.InfoNCE(temperature=1.0)(None, (z, z))
    >>> round(float(loss), 4)
    0.3133
    """
    global _across
    has_several = num_processes() > 1
    _across += has_several
    try:
        yield
    finally:
        _across -= has_several


def num_processes() -> int:
    """Returns the number of processes of the PyTorch process group. It is 1 on other backends."""
    if keras.backend.backend() != "torch" or keras.distribution.distribution() is not None:
        return 1
    return torch_processes.count()


def process_index() -> int:
    """Returns the index of this process, starting at 0."""
    return torch_processes.rank() if num_processes() > 1 else 0


def warn_if_local() -> None:
    """Warns if several processes run, but the loss compares only the rows of this process."""
    if _across or keras.backend.backend() != "torch":
        return
    launched = torch_processes.launched()
    if num_processes() > 1:
        warnings.warn(
            f"{num_processes()} processes train together, but this loss compares only the rows of "
            "this process. The effective batch is smaller than expected. Train with "
            "`keras_contrastive.ContrastiveTrainer`, or call the loss inside "
            "`keras_contrastive.distribution.across_processes()` and average the gradients.",
            stacklevel=2,
        )
    elif launched > 1:
        warnings.warn(
            f"WORLD_SIZE is {launched}, but no process group exists, so each process trains a "
            "separate model. Call `torch.distributed.init_process_group()` first "
            '("nccl" on GPUs, "gloo" on CPUs).',
            stacklevel=2,
        )
