"""Gradients of our own, written once for the three backends."""

import keras
from keras import ops


def with_gradient(forward, backward):
    """Give a function of tensors a gradient of its own.

    Args:
        forward: From the inputs to a tensor (Keras' custom gradients on PyTorch have a single upstream) and to
            whatever `backward` needs besides the inputs.
        backward: Called as `backward(upstream, kept, *inputs)`; returns a tuple with a gradient for each input.

    Returns:
        The function, from the inputs to the tensor.
    """

    @ops.custom_gradient
    def compute(*inputs):
        result, kept = forward(*inputs)
        # PyTorch keeps the inputs itself, and lets go of them sooner than of this closure.
        remembered = () if keras.backend.backend() == "torch" else inputs

        def gradient(*args, upstream=None):
            # PyTorch hands over the inputs, and the upstream gradient by name; the others the latter alone.
            if upstream is None:
                (upstream,) = args
                args = remembered
            return backward(upstream, kept, *args)

        return result, gradient

    return compute
