"""Functions of the tests that differ between the backends."""

import contextlib
import os
import pathlib

import keras
import numpy as np
import pytest
from keras import ops


def value_and_gradients(function, *inputs, compiled=False, variables=()):
    """Returns a scalar function of tensors and its gradients for each of them, as NumPy arrays.

    `variables` lists the variables that the function assigns. JAX requires them.
    """
    return _IMPLEMENTATIONS[keras.backend.backend()](function, inputs, compiled, variables)


def gradients(function, *inputs, compiled=False, variables=()):
    return value_and_gradients(function, *inputs, compiled=compiled, variables=variables)[1]


def gradient_function(function):
    """Returns a function of arrays that returns the gradients. JAX compiles it once."""
    if keras.backend.backend() != "jax":
        return lambda *inputs: gradients(function, *inputs)
    import jax

    jitted: dict = {}

    def evaluate(*inputs):
        count = len(inputs)
        if count not in jitted:
            jitted[count] = jax.jit(jax.grad(function, argnums=tuple(range(count))))
        return [to_numpy(grad) for grad in jitted[count](*inputs)]

    return evaluate


def compiled(function):
    """Compiles a function of `(batch, dim)` tensors for batches of any size.

    On TensorFlow one graph serves all sizes. PyTorch runs eagerly, the default of Keras.
    """
    return _COMPILERS[keras.backend.backend()](function)


def traced(function):
    """Compiles a function of tensors of any shapes. PyTorch runs eagerly, the default of Keras."""
    return _TRACERS[keras.backend.backend()](function)


@contextlib.contextmanager
def functions_run_eagerly(eager):
    """Sets whether TensorFlow runs functions without tracing them. Other backends do not change."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(eager)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def optimize_no_graphs():
    """Keeps TensorFlow from optimizing graphs, which takes longer than to run them a few times."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


# Arguments of `gradients` that take the least time for one evaluation. Eagerly, JAX compiles each
# operation.
FASTEST = {"compiled": keras.backend.backend() == "jax"}


def apply_gradients(optimizer, gradients, variables):
    """Takes a step of an optimizer, outside of a model."""
    if keras.backend.backend() != "jax":
        optimizer.apply(gradients, variables)
        return
    optimizer.build(variables)
    state = [variable.value for variable in optimizer.variables]
    values = [variable.value for variable in variables]
    values, state = optimizer.stateless_apply(state, gradients, values)
    pairs = [*zip(variables, values, strict=True), *zip(optimizer.variables, state, strict=True)]
    for variable, value in pairs:
        variable.assign(value)


def second_derivative(function, x):
    """Returns the second derivative of a scalar function of a scalar."""
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


def programs_compiled(function):
    """Returns how many programs a call of a function compiles outside of `jit`.

    Skips the test on other backends than JAX, which run operations without compiling them.
    """
    if keras.backend.backend() != "jax":
        pytest.skip("Only JAX compiles operations that are called eagerly.")
    from jax import monitoring

    compiled = []

    def listen(event, duration, **kwargs):
        if event == "/jax/core/compile/jaxpr_to_mlir_module_duration":
            compiled.append(duration)

    monitoring.register_event_duration_secs_listener(listen)
    try:
        function()
    finally:
        monitoring.unregister_event_duration_listener(listen)
    return len(compiled)


def largest_tensor(function, *inputs):
    """Returns the number of elements of the largest tensor of a function and its gradients."""
    return max(tensor_sizes(function, *inputs))


def tensor_sizes(function, *inputs):
    """Returns the number of elements of each tensor that a function and its gradients compute.

    JAX and TensorFlow read them from the traced program, PyTorch from the results of all
    operations.
    """
    return _SIZES[keras.backend.backend()](function, inputs)


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

    value, grads = (_trace_tensorflow(evaluate) if compile_it else evaluate)(
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
    """Returns a tensor as a NumPy array."""
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


def _sizes_of_jax(function, inputs):
    import jax

    def sizes(jaxpr):
        for equation in jaxpr.eqns:
            yield from (variable.aval.size for variable in equation.outvars)
            for part in jax.tree.leaves(
                list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
            ):
                part = getattr(part, "jaxpr", part)  # of a closed one
                if hasattr(part, "eqns"):
                    yield from sizes(part)

    evaluate = jax.value_and_grad(function, argnums=tuple(range(len(inputs))))
    return list(sizes(jax.make_jaxpr(evaluate)(*map(ops.convert_to_tensor, inputs)).jaxpr))


def _sizes_of_tensorflow(function, inputs):
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
    return [int(np.prod(np.maximum(shape, 0), initial=1)) for shape in shapes]


def _sizes_of_torch(function, inputs):
    import torch

    found: list = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            result = operation(*args, **(kwargs or {}))
            tensors = [
                x for x in torch.utils._pytree.tree_leaves(result) if isinstance(x, torch.Tensor)
            ]
            found.extend(x.numel() for x in tensors)
            return result

    with Watch():
        _torch(function, inputs, False, ())
    return found


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


def _trace_tensorflow(function):
    import tensorflow as tf

    return functions_run_eagerly(False)(tf.function(function))


_TRACERS = {
    "jax": _compile_jax,
    "tensorflow": _trace_tensorflow,
    "torch": lambda function: function,
}
_SECOND = {"jax": _second_of_jax, "tensorflow": _second_of_tensorflow, "torch": _second_of_torch}
_SIZES = {
    "jax": _sizes_of_jax,
    "tensorflow": _sizes_of_tensorflow,
    "torch": _sizes_of_torch,
}
_IMPLEMENTATIONS = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
_COMPILERS = {
    "jax": _compile_jax,
    "tensorflow": _compile_tensorflow,
    "torch": lambda function: function,
}


class Batches(keras.utils.PyDataset):
    """A data set for each backend: tuples of batches in a fixed order."""

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
# Functions `(rows, batch_size) -> data set` by name. `rows` is a tuple of arrays or dicts of
# arrays. A data set of a framework requires that backend.
DATA_KINDS = {"PyDataset": Batches, "generator": _generator} | _OWN_DATA[keras.backend.backend()]

# Arguments of `compile` for the most compilation. On PyTorch, compiling a step takes a minute, and
# Keras allows only one step per execution.
_COMPILED = {"jit_compile": True, "steps_per_execution": 2}
COMPILE_MOST = {"jax": _COMPILED, "tensorflow": _COMPILED, "torch": {}}[keras.backend.backend()]
# Arguments of `compile` for the fastest few steps of a large model. Eagerly, JAX compiles each
# operation.
COMPILE_LEAST = {"run_eagerly": keras.backend.backend() != "jax"}
