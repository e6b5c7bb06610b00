"""Projection onto the unit sphere."""

from keras import ops

from keras_contrastive._engine.gradients import with_gradient

_SMALLEST = 1e-12  # rows whose entries are all below it have no direction worth following
_LARGEST = (
    1e37  # XLA divides by multiplying with the reciprocal, and that of 1e38 is flushed to zero
)


def normalize(embeddings):
    """Divide each row by its length, whatever its length: 1e-10 and 1e30 give the same direction.

    A row of zeros stays zero and has a gradient of ordinary size, so a dead unit can recover.

    Args:
        embeddings: Float tensor `(..., dim)`.

    Returns:
        A tensor of the same shape and dtype; rows have length 1, or 0 if they were (almost) zero.

    Example:
    >>> rows = normalize(keras.ops.array([[3.0, 4.0], [3e30, 4e30], [0.0, 0.0]]))
    >>> np.allclose(keras.ops.convert_to_numpy(rows), [[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]])
    True
    """
    if (
        0 in embeddings.shape
    ):  # a replica without rows; PyTorch's Keras refuses the largest entry of nothing
        return embeddings
    return _normalize(embeddings)


def _forward(embeddings):
    scaled, inverse_length, _ = _parts(embeddings)
    return scaled * inverse_length, None


def _backward(upstream, _, embeddings):
    # Only the embeddings are kept for the gradient; what autodiff keeps is three times as much.
    scaled, inverse_length, divisor = _parts(embeddings)
    along = ops.sum(scaled * upstream, axis=-1, keepdims=True) * inverse_length
    gradient = upstream * (inverse_length / divisor)
    gradient -= scaled * (
        along * inverse_length * (inverse_length / divisor)
    )  # in place, on PyTorch
    return (gradient,)


_normalize = with_gradient(_forward, _backward)


def _parts(embeddings):
    """Rows divided by `divisor`, which is about their largest entry, and 1 / length of those."""
    # The square of 1e30 is infinite in float32, hence the largest entry first. It may be detached: the result does
    # not depend on it. The sum of squares is then at least 1, so 0.5 is met by zero rows only.
    largest = ops.stop_gradient(ops.max(ops.abs(embeddings), axis=-1, keepdims=True))
    divisor = ops.where(largest > _SMALLEST, ops.minimum(largest, _LARGEST), ops.ones_like(largest))
    scaled = embeddings / divisor
    return (
        scaled,
        ops.rsqrt(ops.maximum(ops.sum(ops.square(scaled), axis=-1, keepdims=True), 0.5)),
        divisor,
    )
