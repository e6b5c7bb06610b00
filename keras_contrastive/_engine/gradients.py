"""Custom gradients, written once for the three backends."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_contrastive._typing import Tensor


def with_gradient(
    forward: Callable[..., tuple[Tensor, Any]], backward: Callable[..., tuple[Tensor | None, ...]]
) -> Callable[..., Tensor]:
    """Gives a function of tensors a custom gradient.

    Args:
        forward: Maps the inputs to a tensor, and to anything that `backward` needs besides the
            inputs. There is a single result, because Keras on PyTorch passes one upstream gradient.
        backward: Called as `backward(upstream, kept, *inputs)`. Returns one gradient per input.

    Returns:
        The function of the inputs.
    """

    @ops.custom_gradient
    def compute(*inputs: Tensor) -> tuple[Tensor, Callable[..., Any]]:
        result, kept = forward(*inputs)
        # PyTorch stores the inputs itself, and frees them sooner than this closure.
        stored = () if keras.backend.backend() == "torch" else inputs

        def gradient(*args: Tensor, upstream: Tensor | None = None) -> Any:
            # PyTorch passes the inputs, and the upstream gradient by name. The other backends pass
            # only the upstream gradient.
            if upstream is None:
                (upstream,) = args
                args = stored
            return backward(upstream, kept, *args)

        return result, gradient

    return compute
