"""The one place where tests know which framework computes."""

import keras
import numpy as np
from keras import ops


def value_and_gradients(function, *inputs, compiled=False):
    """Evaluate a scalar function of tensors and its gradient for each of them, as NumPy arrays."""
    return _IMPLEMENTATIONS[keras.backend.backend()](function, inputs, compiled)


def gradients(function, *inputs, compiled=False):
    return value_and_gradients(function, *inputs, compiled=compiled)[1]


def compiled(function):
    """The function as the backend compiles it; torch runs eagerly, as Keras runs it by default."""
    return _COMPILERS[keras.backend.backend()](function)


def _jax(function, inputs, compile_it):
    import jax

    evaluate = jax.value_and_grad(function, argnums=tuple(range(len(inputs))))
    value, grads = (jax.jit(evaluate) if compile_it else evaluate)(*map(ops.convert_to_tensor, inputs))
    return _to_numpy(value), [_to_numpy(grad) for grad in grads]


def _tensorflow(function, inputs, compile_it):
    import tensorflow as tf

    def evaluate(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        return value, tape.gradient(value, tensors, unconnected_gradients="zero")

    value, grads = (tf.function(evaluate) if compile_it else evaluate)(*map(ops.convert_to_tensor, inputs))
    return _to_numpy(value), [_to_numpy(grad) for grad in grads]


def _torch(function, inputs, compile_it):
    tensors = [ops.convert_to_tensor(x).detach().clone().requires_grad_(True) for x in inputs]
    value = function(*tensors)
    value.backward()
    return _to_numpy(value), [
        np.zeros(tuple(x.shape), "float32") if x.grad is None else _to_numpy(x.grad) for x in tensors
    ]


def _to_numpy(x):
    return np.asarray(ops.convert_to_numpy(x))


def _compile_jax(function):
    import jax

    return jax.jit(function)


def _compile_tensorflow(function):
    import tensorflow as tf

    return tf.function(function)


_IMPLEMENTATIONS = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
_COMPILERS = {"jax": _compile_jax, "tensorflow": _compile_tensorflow, "torch": lambda function: function}
