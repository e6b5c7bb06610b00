"""The device of the current backend: precision of products, memory, random inputs."""

import gc
import time

import keras
import measure

# What a user sets for each precision of float32 products. On a CPU, these settings have no effect.
_TORCH = {"float32": "highest", "TF32": "high"}
# The default of JAX on a GPU is TF32.
_JAX = {"float32": "highest", "TF32": None}
PRECISIONS = tuple(_TORCH)


def set_precision(name):
    """Sets the precision of products of float32 numbers, "float32" or "TF32"."""
    if measure.BACKEND == "torch":
        import torch

        torch.set_float32_matmul_precision(_TORCH[name])
    elif measure.BACKEND == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", _JAX[name])


def random_views(batch, dim, dtype="float32", single=False):
    """Returns two views, or both as one tensor, drawn on the device. The second is the first one
    with noise.
    """
    first, noise = (keras.random.normal((batch, dim), seed=seed) for seed in (1, 2))
    views = [first, first + 2 * noise]
    views = [keras.ops.concatenate(views)] if single else views
    return [keras.ops.cast(view, dtype) for view in views]


def release_memory():
    gc.collect()
    if measure.BACKEND == "torch" and measure.accelerator():
        import torch

        torch.cuda.empty_cache()


def measured(step, inputs):
    """Returns the result of a call, its seconds, and the peak of its memory on the device in bytes.

    The peak counts above the memory before. It is `None` on JAX, where XLA reports it for each
    program, and on a CPU.
    """
    if measure.BACKEND != "torch" or not measure.accelerator():
        start = time.perf_counter()
        return measure.finish(step(*inputs)), time.perf_counter() - start, None
    import torch

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before, start = torch.cuda.memory_allocated(), time.perf_counter()
    result = measure.finish(step(*inputs))
    seconds = time.perf_counter() - start
    return result, seconds, torch.cuda.max_memory_allocated() - before


def with_peak(call):
    """Returns the results of a call, with the peak of the memory of PyTorch in MiB, or `None`."""
    results, _, most = measured(lambda: call(), [])
    return *results, most if most is None else most / 2**20


def memory():
    """Returns the bytes that the device has, or `None` on a CPU."""
    if not measure.accelerator():
        return None
    if measure.BACKEND == "torch":
        import torch

        return torch.cuda.get_device_properties(0).total_memory
    import jax

    return jax.devices()[0].memory_stats()["bytes_limit"]


def versions():
    """Returns the versions of Keras and of the backend, with CUDA."""
    found = {"keras": keras.__version__}
    if measure.BACKEND == "torch":
        import torch

        return {**found, "torch": torch.__version__, "cuda": torch.version.cuda}
    import jax

    return {**found, "jax": jax.__version__, "platform": jax.default_backend()}
