"""Processes of a `torch.distributed` process group, each with some rows of a batch."""

import functools
import os


def count():
    """How many processes there are in the group; 1 without one."""
    import torch

    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if there else 1


def rank():
    """Which of them this is."""
    import torch

    return torch.distributed.get_rank()


def launched():
    """As how many processes this program was started, as `torchrun` says."""
    number = os.environ.get("WORLD_SIZE", "1")
    return int(number) if number.isdigit() else 1


def share(num_rows):
    """The arguments of a `SharedBatch`."""
    sizes = _exchange(int(num_rows))
    first = sum(sizes[: rank()])
    gather = functools.partial(_gather, sizes=sizes)
    return int(num_rows), first, 1.0, gather, lambda x: _gather(x[None], sizes=[1] * count())


def first_of(number):
    """The number that process 0 has."""
    return _exchange(number)[0]


def broadcast(tensors):
    """Give all processes what process 0 has, in place."""
    import torch

    with torch.no_grad():
        for tensor in tensors:
            torch.distributed.broadcast(tensor, src=0)


def mean(tensors):
    """Means over the processes, of tensors that may be `None` where nothing is known."""
    import torch

    there = [tensor for tensor in tensors if tensor is not None]
    means: dict = {}
    with torch.no_grad():
        for bucket in _buckets(there):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            torch.distributed.all_reduce(flat)
            flat /= count()
            parts = flat.split([tensor.numel() for tensor in bucket])
            means |= {
                id(tensor): part.view_as(tensor) for tensor, part in zip(bucket, parts, strict=True)
            }
    return [None if tensor is None else means[id(tensor)] for tensor in tensors]


def average_gradients(optimizer):
    """Let an optimizer apply the mean of the gradients of all processes. Doing it again changes nothing."""
    apply = optimizer.apply
    if getattr(apply, "averages", False):
        return

    def apply_mean(grads, trainable_variables=None):
        return apply(mean(grads) if count() > 1 else grads, trainable_variables)

    vars(apply_mean)["averages"] = True
    optimizer.apply = apply_mean


def _buckets(tensors, largest=2**23):
    """Tensors of one dtype that are few enough numbers to be copied into one."""
    open_buckets: dict = {}
    for tensor in tensors:
        bucket = open_buckets.setdefault(tensor.dtype, [])
        bucket.append(tensor)
        if sum(other.numel() for other in bucket) >= largest:
            yield open_buckets.pop(tensor.dtype)
    yield from open_buckets.values()


def _exchange(number):
    """The numbers of all processes, without a wait for the device."""
    import torch

    numbers = [torch.zeros((), dtype=torch.int64) for _ in range(count())]
    group = _talk(torch.distributed.group.WORLD)
    torch.distributed.all_gather(numbers, torch.tensor(number, dtype=torch.int64), group=group)
    return [int(x) for x in numbers]


@functools.cache
def _talk(world):
    """A group like the world's whose messages need no device: `nccl` knows GPUs only."""
    import torch

    return (
        world
        if torch.distributed.get_backend(world) == "gloo"
        else torch.distributed.new_group(backend="gloo")
    )


def _gather(x, sizes):
    import torch

    if x.dtype == torch.bool:
        return _gather(x.to(torch.uint8), sizes).to(torch.bool)
    return _gather_function().apply(x, sizes)


@functools.cache
def _gather_function():
    import torch

    class Gather(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, sizes):
            ctx.span = sum(sizes[: rank()]), sizes[rank()]
            # Collectives want equal shapes.
            padded = x.new_zeros((max(sizes), *x.shape[1:]))
            padded[: x.shape[0]] = x
            parts = [torch.empty_like(padded) for _ in sizes]
            torch.distributed.all_gather(parts, padded)
            return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

        @staticmethod
        def backward(ctx, upstream):
            first, size = ctx.span
            total = upstream.contiguous().clone()
            torch.distributed.all_reduce(total)
            return total[first : first + size], None

    return Gather
