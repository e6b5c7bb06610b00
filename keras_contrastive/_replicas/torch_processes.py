"""Processes of a `torch.distributed` process group, each with some rows of a batch."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from keras_contrastive._typing import Tensor


def count() -> int:
    """Returns the number of processes in the group. It is 1 without a group."""
    import torch

    initialized = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if initialized else 1


def rank() -> int:
    """Returns the index of this process in the group."""
    import torch

    return torch.distributed.get_rank()


def launched() -> int:
    """Returns the number of processes that `torchrun` started."""
    number = os.environ.get("WORLD_SIZE", "1")
    return int(number) if number.isdigit() else 1


def exchange_sizes(
    num_rows: Tensor,
) -> tuple[int, int, float, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Exchanges the numbers of rows. Returns the arguments of `Replicas`."""
    sizes = _exchange(int(num_rows))
    first = sum(sizes[: rank()])
    gather = functools.partial(_gather, sizes=sizes)
    return int(num_rows), first, 1.0, gather, lambda x: _gather(x[None], sizes=[1] * count())


def first_of(number: int) -> int:
    """Returns the number that process 0 passed."""
    return _exchange(number)[0]


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Copies the tensors of process 0 to all processes, in place."""
    import torch

    with torch.no_grad():
        for tensor in tensors:
            torch.distributed.broadcast(tensor, src=0)


def mean(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Returns the means of tensors over the processes. An entry that is `None` stays `None`."""
    import torch

    present = [tensor for tensor in tensors if tensor is not None]
    means: dict[int, Tensor] = {}
    with torch.no_grad():
        for bucket in _buckets(present):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            torch.distributed.all_reduce(flat)
            flat /= count()
            parts = flat.split([tensor.numel() for tensor in bucket])
            means |= {
                id(tensor): part.view_as(tensor) for tensor, part in zip(bucket, parts, strict=True)
            }
    return [None if tensor is None else means[id(tensor)] for tensor in tensors]


def average_gradients(optimizer: Any) -> None:
    """Makes an optimizer average the gradients of all processes before each update.

    Calling it again for the same optimizer has no effect.
    """
    apply = optimizer.apply
    if getattr(apply, "averages", False):
        return

    def apply_mean(grads: Sequence[Tensor | None], trainable_variables: Any = None) -> Any:
        return apply(mean(grads) if count() > 1 else grads, trainable_variables)

    vars(apply_mean)["averages"] = True
    optimizer.apply = apply_mean


def _buckets(tensors: Iterable[Tensor], largest: int = 2**23) -> Iterator[list[Tensor]]:
    """Groups tensors of one dtype, so that each group is reduced in one message."""
    open_buckets: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        bucket = open_buckets.setdefault(tensor.dtype, [])
        bucket.append(tensor)
        if sum(other.numel() for other in bucket) >= largest:
            yield open_buckets.pop(tensor.dtype)
    yield from open_buckets.values()


def _exchange(number: int) -> list[int]:
    """Returns the numbers of all processes, without waiting for the device."""
    import torch

    numbers = [torch.zeros((), dtype=torch.int64) for _ in range(count())]
    group = _cpu_group(torch.distributed.group.WORLD)
    torch.distributed.all_gather(numbers, torch.tensor(number, dtype=torch.int64), group=group)
    return [int(x) for x in numbers]


@functools.cache
def _cpu_group(world: Any) -> Any:
    """Returns a group with the processes of `world` that sends CPU tensors. `nccl` cannot."""
    import torch

    if torch.distributed.get_backend(world) == "gloo":
        return world
    return torch.distributed.new_group(backend="gloo")


def _gather(x: Tensor, sizes: Sequence[int]) -> Tensor:
    import torch

    if x.dtype == torch.bool:
        return _gather(x.to(torch.uint8), sizes).to(torch.bool)
    return _gather_function().apply(x, sizes)


@functools.cache
def _gather_function() -> Any:
    import torch

    class Gather(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, sizes: Sequence[int]) -> Tensor:
            ctx.span = sum(sizes[: rank()]), sizes[rank()]
            # Collectives need equal shapes.
            padded = x.new_zeros((max(sizes), *x.shape[1:]))
            padded[: x.shape[0]] = x
            parts = [torch.empty_like(padded) for _ in sizes]
            torch.distributed.all_gather(parts, padded)
            return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

        @staticmethod
        def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
            first, size = ctx.span
            total = upstream.contiguous().clone()
            torch.distributed.all_reduce(total)
            return total[first : first + size], None

    return Gather
