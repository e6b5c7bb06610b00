"""The one place where tests know which framework computes."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops


def value_and_gradients(function, *inputs, compiled=False, variables=()):
    """Evaluate a scalar function of tensors and its gradient for each of them, as NumPy arrays.

    `variables` are those that the function assigns, which JAX needs to be told.
    """
    return _IMPLEMENTATIONS[keras.backend.backend()](function, inputs, compiled, variables)


def gradients(function, *inputs, compiled=False, variables=()):
    return value_and_gradients(function, *inputs, compiled=compiled, variables=variables)[1]


def compiled(function):
    """The function of `(batch, dim)` tensors as the backend compiles it, for batches of any size.

    On TensorFlow one graph serves all sizes; torch runs eagerly, as Keras runs it by default.
    """
    return _COMPILERS[keras.backend.backend()](function)


# Arguments of `gradients` that take the least time for one evaluation. Eagerly, JAX compiles each
# operation.
FASTEST = {"compiled": keras.backend.backend() == "jax"}


def second_derivative(function, x):
    """Of a scalar function of a scalar, by differentiating twice."""
    return _SECOND[keras.backend.backend()](function, ops.convert_to_tensor(x))


def forget_compiled(limit=3e9):
    """Frees compiled programs on JAX if the process has more than `limit` bytes of memory.

    JAX keeps programs for the life of the process: gigabytes after some thousand.
    """
    if keras.backend.backend() == "jax" and _resident_bytes() > limit:
        import jax

        jax.clear_caches()


def _resident_bytes():
    try:
        pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
    except OSError:  # not on Linux
        return float("inf")
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def largest_tensor(function, *inputs):
    """Number of elements of the largest tensor that exists while a scalar function and its gradients are computed.

    On JAX and TensorFlow it is read from the traced program, loops included; on torch every operation is watched.
    """
    return _LARGEST[keras.backend.backend()](function, inputs)


def lower_for_accelerators(function, *inputs, variables=()):
    """Lowers a scalar function and its gradients for TPU and CUDA, without running them.

    Skips the test on other backends than JAX, which cannot lower for a device that is not there.

    Args:
        function: A function of tensors that returns a scalar.
        inputs: Float arrays, or shapes of float32 tensors.
        variables: Variables that the function assigns.

    Returns:
        The lowered program as text (StableHLO).
    """
    _require_lowering()
    import jax

    evaluate = jax.value_and_grad(
        _stateless(function, variables), argnums=tuple(range(len(inputs))), has_aux=True
    )
    shapes = [jax.ShapeDtypeStruct(getattr(x, "shape", x), "float32") for x in inputs]
    return _export(evaluate, *shapes)


def lower_train_step_for_accelerators(model, data):
    """Lowers the training step of a compiled and built model for TPU and CUDA, as text.

    Skips the test on other backends than JAX.

    Args:
        model: A `keras.Model` with an optimizer.
        data: What a data set yields for one step, `(x,)`, `(x, y)` or `(x, y, sample_weight)`.
    """
    _require_lowering()
    model.optimizer.build(model.trainable_variables)
    state = [
        [variable.value for variable in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    ]
    return _export(model.train_step, tuple(state), data)


def _require_lowering():
    if keras.backend.backend() != "jax":
        pytest.skip("Only JAX lowers a program for devices that this machine does not have.")


def _export(function, *arguments):
    import jax
    from jax import export

    exported = export.export(jax.jit(function), platforms=("tpu", "cuda"))(*arguments)
    return exported.mlir_module()


def _stateless(function, variables):
    """The function, which also returns the values that it assigns to variables."""

    def stateless(*tensors):
        with keras.StatelessScope() as scope:
            value = function(*tensors)
            return value, [scope.get_current_value(variable) for variable in variables]

    return stateless


def _jax(function, inputs, compile_it, variables):
    import jax

    evaluate = jax.value_and_grad(
        _stateless(function, variables), argnums=tuple(range(len(inputs))), has_aux=True
    )
    (value, state), grads = (jax.jit(evaluate) if compile_it else evaluate)(
        *map(ops.convert_to_tensor, inputs)
    )
    for variable, new in zip(variables, state, strict=True):
        if new is not None:
            variable.assign(new)
    return to_numpy(value), [to_numpy(grad) for grad in grads]


def _tensorflow(function, inputs, compile_it, variables):
    import tensorflow as tf

    def evaluate(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        return value, tape.gradient(value, tensors, unconnected_gradients="zero")

    value, grads = (tf.function(evaluate) if compile_it else evaluate)(
        *map(ops.convert_to_tensor, inputs)
    )
    return to_numpy(value), [to_numpy(grad) for grad in grads]


def _torch(function, inputs, compile_it, variables):
    tensors = [ops.convert_to_tensor(x).detach().clone().requires_grad_(True) for x in inputs]
    value = function(*tensors)
    value.backward()
    return to_numpy(value), [
        np.zeros(tuple(x.shape), "float32") if x.grad is None else to_numpy(x.grad) for x in tensors
    ]


def to_numpy(x):
    """A tensor of the backend as a NumPy array."""
    return np.asarray(ops.convert_to_numpy(x))


def _compile_jax(function):
    import jax

    return jax.jit(function)


def _compile_tensorflow(function):
    import tensorflow as tf

    def call(*inputs):
        shapes = [tf.TensorSpec([None, *x.shape[1:]], x.dtype) for x in inputs]
        return graph.get_concrete_function(*shapes)(*inputs)

    graph = tf.function(function)
    return call


def _largest_of_jax(function, inputs):
    import jax

    def sizes(jaxpr):
        for equation in jaxpr.eqns:
            yield from (variable.aval.size for variable in equation.outvars)
            for part in jax.tree.leaves(
                list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
            ):
                part = getattr(part, "jaxpr", part)  # a closed one has it inside
                if hasattr(part, "eqns"):
                    yield from sizes(part)

    evaluate = jax.value_and_grad(function, argnums=tuple(range(len(inputs))))
    return max(sizes(jax.make_jaxpr(evaluate)(*map(ops.convert_to_tensor, inputs)).jaxpr))


def _largest_of_tensorflow(function, inputs):
    import tensorflow as tf

    def evaluate(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        return value, tape.gradient(value, tensors)

    graph = (
        tf.function(evaluate)
        .get_concrete_function(*map(ops.convert_to_tensor, inputs))
        .graph.as_graph_def(add_shapes=True)
    )
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    shapes = [
        [d.size for d in shape.dim]
        for node in nodes
        for shape in node.attr["_output_shapes"].list.shape
    ]
    return max(int(np.prod(np.maximum(shape, 0), initial=1)) for shape in shapes)


def _largest_of_torch(function, inputs):
    import torch

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            result = operation(*args, **(kwargs or {}))
            tensors = [
                x for x in torch.utils._pytree.tree_leaves(result) if isinstance(x, torch.Tensor)
            ]
            self.largest = max([self.largest, *(x.numel() for x in tensors)])
            return result

    with Watch() as watch:
        _torch(function, inputs, False, ())
    return watch.largest


def _second_of_jax(function, x):
    import jax

    return float(jax.grad(jax.grad(function))(x))


def _second_of_tensorflow(function, x):
    import tensorflow as tf

    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = function(x)
        slope = inner.gradient(value, x)
    return float(outer.gradient(slope, x))


def _second_of_torch(function, x):
    import torch

    x = x.detach().clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(function(x), x, create_graph=True)
    (second,) = torch.autograd.grad(slope, x)
    return float(second)


_SECOND = {"jax": _second_of_jax, "tensorflow": _second_of_tensorflow, "torch": _second_of_torch}
_LARGEST = {
    "jax": _largest_of_jax,
    "tensorflow": _largest_of_tensorflow,
    "torch": _largest_of_torch,
}
_IMPLEMENTATIONS = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
_COMPILERS = {
    "jax": _compile_jax,
    "tensorflow": _compile_tensorflow,
    "torch": lambda function: function,
}


class Batches(keras.utils.PyDataset):
    """What every backend takes: batches in a fixed order, each a tuple."""

    def __init__(self, rows, batch_size):
        super().__init__()
        self.rows, self.batch_size = rows, batch_size

    def __len__(self):
        return -(-len(keras.tree.flatten(self.rows)[0]) // self.batch_size)

    def __getitem__(self, index):
        window = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return keras.tree.map_structure(lambda array: array[window], self.rows)


def _tf_data(rows, batch_size):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)


def _data_loader(rows, batch_size):
    import torch

    items = Batches(rows, 1)
    items = [
        keras.tree.map_structure(lambda array: array[0], items[index])
        for index in range(len(items))
    ]
    return torch.utils.data.DataLoader(items, batch_size=batch_size)


def _generator(rows, batch_size):
    batches = Batches(rows, batch_size)
    return (batches[index] for index in range(len(batches)))


_OWN_DATA = {"jax": {}, "tensorflow": {"tf.data": _tf_data}, "torch": {"DataLoader": _data_loader}}
# Makers of data sets, `(rows, batch_size) -> data`, by name; `rows` is a tuple of (dicts of) arrays. Of the frameworks'
# own kinds, only that of the active backend can be expected to be installed.
DATA_KINDS = {"PyDataset": Batches, "generator": _generator} | _OWN_DATA[keras.backend.backend()]

# What compiles most in a test's time. Keras takes one step at a time on torch, where compiling a step takes a minute.
_COMPILED = {"jit_compile": True, "steps_per_execution": 2}
COMPILE_MOST = {"jax": _COMPILED, "tensorflow": _COMPILED, "torch": {}}[keras.backend.backend()]
# What takes the least time for a few steps of a large model: JAX compiles each operation of an eager one.
COMPILE_LEAST = {"run_eagerly": keras.backend.backend() != "jax"}


# Several replicas on this machine: an environment for each process that they need, and what one does in it.


def replica_environments(count):
    """Variables of the environment of each process that trains on so many replicas."""
    own = _ENVIRONMENTS[keras.backend.backend()](count)
    return [{**os.environ, "KERAS_BACKEND": keras.backend.backend(), **extra} for extra in own]


def join_replicas(count):
    """Make this process one of the replicas; returns a maker of contexts for models, and whether it is the first."""
    return _JOIN[keras.backend.backend()](count)


def num_replicas():
    """On how many replicas a model would be trained here."""
    return _NUM_REPLICAS[keras.backend.backend()]()


def _num_replicas_jax():
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.device_mesh.devices.size


def _num_replicas_tensorflow():
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def _num_replicas_torch():
    import torch

    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


_NUM_REPLICAS = {
    "jax": _num_replicas_jax,
    "tensorflow": _num_replicas_tensorflow,
    "torch": _num_replicas_torch,
}


def _torch_environments(count):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": "1",
    }
    return (
        [{**common, "RANK": str(rank)} for rank in range(count)]
        if count > 1
        else [{"OMP_NUM_THREADS": "1"}]
    )


def _join_jax(count):
    if count == 1:
        return contextlib.nullcontext, True
    # In a scope, since `clear_session` forgets a distribution that was set before.
    return lambda: keras.distribution.DataParallel(auto_shard_dataset=False).scope(), True


def _join_tensorflow(count):
    import tensorflow as tf

    if count == 1:
        return contextlib.nullcontext, True
    cpus = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], cpus)
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)]).scope, True


def _join_torch(count):
    import torch

    if count > 1:
        torch.distributed.init_process_group("gloo")
    return contextlib.nullcontext, os.environ.get("RANK", "0") == "0"


_ENVIRONMENTS = {
    "jax": lambda count: [
        {
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
        }
    ],
    "tensorflow": lambda count: [{}],
    "torch": _torch_environments,
}
_JOIN = {"jax": _join_jax, "tensorflow": _join_tensorflow, "torch": _join_torch}
# Rows that leave a last batch which 2 and 4 replicas cannot share evenly; Keras on JAX only knows even shares.
UNEVEN_ROWS = {"jax": 40, "tensorflow": 42, "torch": 42}[keras.backend.backend()]
# Rows whose last batch of 16 is one of 2 rows, fewer than 4 replicas; on JAX, one of 4.
FEW_LEFT = {"jax": 36, "tensorflow": 34, "torch": 34}[keras.backend.backend()]


def run_replicas(count, module, *arguments):
    """Run a module of the tests on so many replicas; returns what its first process printed."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    root = pathlib.Path(__file__).parent.parent.parent
    processes = [
        subprocess.Popen(
            command, env=env, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for env in replica_environments(count)
    ]
    try:
        printed = [process.communicate(timeout=1800)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, printed, strict=True):
        if process.returncode:
            raise RuntimeError(f"A replica failed:\n{text[-3000:]}")
    return printed[0]
