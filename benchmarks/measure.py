"""Measures time and memory of a value-and-gradient call on the current Keras backend."""

import contextlib
import ctypes
import functools
import gc
import os
import pathlib
import threading
import time

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()
MODES = {
    "torch": ("eager", "torch"),
    "jax": ("jit", "eager"),
    "tensorflow": ("function", "jit", "eager"),
}[BACKEND]
DEFAULT_MODES = {"torch": ["eager"], "jax": ["jit"], "tensorflow": ["function", "jit"]}[BACKEND]
_SENTINEL = 123_457  # bytes; a size that no other allocation has


@functools.cache
def accelerator():
    """Returns the name of the accelerator, or `None` on a CPU."""
    if BACKEND == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else None
    if BACKEND == "jax":
        import jax

        return None if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(devices[0])["device_name"] if devices else None


def embeddings(batch, dim, dtype, single):
    """Returns two views of a batch, or both as one tensor of 2 * batch rows.

    The second view is the first one with noise.
    """
    rng = np.random.default_rng(0)
    first = rng.standard_normal((batch, dim), dtype="float32")
    views = [first, first + 2 * rng.standard_normal((batch, dim), dtype="float32")]
    return [
        ops.convert_to_tensor(x, dtype=dtype)
        for x in ([np.concatenate(views)] if single else views)
    ]


def compiled(function, mode):
    if mode == "eager":
        return function
    if BACKEND == "torch":
        import torch

        return torch.compile(function)
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=mode == "jit")


def value_and_gradient(function, mode):
    """Returns a function from inputs to the value and the list of gradients."""
    if BACKEND == "torch":
        forward = compiled(function, mode)

        def step(*inputs, after_forward=lambda: None):
            leaves = [x.detach().requires_grad_() for x in inputs]
            value = forward(*leaves)
            if value.requires_grad:  # otherwise the loss has computed its gradients itself
                after_forward()
                value.backward()
            return value.detach(), [x.grad for x in leaves]

        return step
    if BACKEND == "jax":
        import jax

        return compiled(
            lambda *inputs: jax.value_and_grad(function, tuple(range(len(inputs))))(*inputs), mode
        )
    import tensorflow as tf

    def step(*inputs):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            value = function(*inputs)
        return value, tape.gradient(value, inputs)

    return compiled(step, mode)


def finish(result):
    """Waits until the device has computed the result."""
    if BACKEND == "jax":
        import jax

        jax.block_until_ready(result)
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        tf.test.experimental.sync_devices()
    elif accelerator():
        import torch

        torch.cuda.synchronize()
    return result


def seconds(step, inputs):
    start = time.perf_counter()
    finish(step(*inputs))
    return time.perf_counter() - start


def failure_message(error):
    """Returns the first line of an error, or "out of memory"."""
    message = (str(error).splitlines() or [""])[0][:150] or type(error).__name__
    full = any(
        sign in message.lower().replace("_", "")
        for sign in ("out of memory", "allocate", "resourceexhausted")
    )
    return "out of memory" if full else message


def tile_products(rows, columns):
    """Returns one compiled loop with the products that every tiled loss needs.

    The products are the logits, the logits again, and both gradients. The second logits are
    transposed, so that a compiler cannot reuse the first ones.
    """

    def torch_loop(a, b):
        import torch

        da, db = torch.zeros_like(a), torch.zeros_like(b)
        logits, transposed = a.new_empty(rows, columns), a.new_empty(columns, rows)
        for a_rows, da_rows in zip(a.split(rows), da.split(rows), strict=True):
            for b_rows, db_rows in zip(b.split(columns), db.split(columns), strict=True):
                da_rows.addmm_(torch.mm(a_rows, b_rows.T, out=logits), b_rows)
                db_rows.addmm_(torch.mm(b_rows, a_rows.T, out=transposed), a_rows)
        return da, db

    def keras_loop(a, b):
        dim = a.shape[1]

        def product(x, y):
            return ops.matmul(ops.matmul(x, ops.transpose(y)), y)

        def visit_tile(k, carry):
            da, db = carry
            i, j = k // (b.shape[0] // columns) * rows, k % (b.shape[0] // columns) * columns
            a_rows, b_rows = ops.slice(a, (i, 0), (rows, dim)), ops.slice(b, (j, 0), (columns, dim))
            da_rows = ops.slice(da, (i, 0), (rows, dim)) + product(a_rows, b_rows)
            db_rows = ops.slice(db, (j, 0), (columns, dim)) + product(b_rows, a_rows)
            return ops.slice_update(da, (i, 0), da_rows), ops.slice_update(db, (j, 0), db_rows)

        tiles = a.shape[0] // rows * (b.shape[0] // columns)
        return ops.fori_loop(0, tiles, visit_tile, (ops.zeros_like(a), ops.zeros_like(b)))

    return torch_loop if BACKEND == "torch" else compiled(keras_loop, "jit")


def square_product():
    return compiled(lambda x: ops.matmul(x, x), "eager" if BACKEND == "torch" else "jit")


def memory(make, mode, batch, dim, dtype, single, compile_only=False):
    """Returns bytes above inputs and gradients: `resident`, `live` and `kept` (`None` if unknown).

    `compile_only` reads `live` from the compiled program, without a call, on JAX.

    Call this function in a fresh process. A warm-up call with 64 rows and the compilation come
    first, so that the set-up of libraries is not counted. There is no full warm-up call, because
    TensorFlow does not release its memory.
    """
    if not compile_only:
        step = value_and_gradient(make(64), mode)
        finish(step(*embeddings(64, dim, dtype, single)))
    step, inputs = value_and_gradient(make(batch), mode), embeddings(batch, dim, dtype, single)
    found = {"resident": None, "live": None, "kept": None}
    if mode == "torch":
        finish(step(*inputs))
    elif mode == "function" or (BACKEND, mode) == ("tensorflow", "jit"):
        step.get_concrete_function(*inputs)
    elif mode == "jit":
        step = step.lower(*inputs).compile()
        found["live"] = step.memory_analysis().temp_size_in_bytes
        if compile_only:
            return found
    _release_memory()
    gradients = 2 * batch * dim * (2 if dtype == "bfloat16" else 4)
    if accelerator():
        found.update(_on_accelerator(step, inputs))
    else:
        if (BACKEND, mode) == ("tensorflow", "jit"):  # compiles before the measurement
            step.experimental_get_compiler_ir(*inputs)(stage="optimized_hlo")
        found["resident"] = _peak_resident(step, inputs)
        if BACKEND == "torch":
            peak, found["kept"] = _allocated(step, inputs)
            found["live"] = peak - gradients
    found["resident"] -= gradients
    return found


def memory_of_step(step, inputs):
    """Returns the peak of the resident set in the second step, above its value before, in bytes.

    Call this function in a fresh process on a CPU.
    """
    finish(step(*inputs))
    _release_memory()
    return _peak_resident(step, inputs)


def _release_memory():
    gc.collect()
    with contextlib.suppress(OSError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _peak_resident(step, inputs):
    """Returns the peak of the resident set during a step, sampled every 5 ms. Linux only."""
    before = highest = _resident()
    done = threading.Event()

    def watch():
        nonlocal highest
        while not done.wait(0.005):
            highest = max(highest, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = finish(step(*inputs))  # noqa: F841 - keeps the gradients alive
    done.set()
    watcher.join()
    return max(highest, _resident()) - before


def _allocated(step, inputs):
    """Returns the peak of the PyTorch allocator, and its value between forward and backward."""
    import torch

    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        step(*inputs, after_forward=lambda: torch.empty(_SENTINEL, dtype=torch.uint8))
    events = [
        event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    totals = np.cumsum(changes)
    return int(totals.max()), int(
        totals[changes.index(_SENTINEL) - 1]
    ) if _SENTINEL in changes else None


def _on_accelerator(step, inputs):
    if BACKEND == "torch":
        import torch

        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before, kept = torch.cuda.memory_allocated(), []
        finish(
            step(*inputs, after_forward=lambda: kept.append(torch.cuda.memory_allocated() - before))
        )
        return {
            "resident": torch.cuda.max_memory_allocated() - before,
            "kept": kept[0] if kept else None,
        }
    if BACKEND == "jax":
        import jax

        statistics = jax.devices()[0].memory_stats
        before = statistics()["bytes_in_use"]
        finish(step(*inputs))
        return {"resident": statistics()["peak_bytes_in_use"] - before}
    import tensorflow as tf

    tf.config.experimental.reset_memory_stats("GPU:0")
    before = tf.config.experimental.get_memory_info("GPU:0")["current"]
    finish(step(*inputs))
    return {"resident": tf.config.experimental.get_memory_info("GPU:0")["peak"] - before}
