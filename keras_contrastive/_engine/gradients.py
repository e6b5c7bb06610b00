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
        backward: Called as `backward(upstream, kept, *inputs)`. Returns the gradients of the first
            inputs. The others have none.

    Returns:
        The function of the inputs. Both functions must get all tensors as inputs: JAX may call
        them after the trace in which they were made, whose tensors are then gone.
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
            gradients = backward(upstream, kept, *args)
            return *gradients, *[None] * (len(args) - len(gradients))

        return result, gradient

    return compute


@ops.custom_gradient
def once_differentiable(gradient: Tensor, *inputs: Tensor) -> tuple[Tensor, Callable[..., Any]]:
    """Returns a gradient that depends on the inputs and raises if it is differentiated."""

    def refuse(*args: Tensor, upstream: Tensor | None = None) -> Any:
        raise NotImplementedError(
            "Contrastive losses have no second derivative beyond one tile of logits. Call "
            "`keras_contrastive.config.set_tile_shape((batch, batch))` to keep the logits of a "
            "batch in one tile."
        )

    return gradient, refuse
