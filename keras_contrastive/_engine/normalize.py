"""Projection onto the unit sphere."""

import keras
from keras import ops

from keras_contrastive._engine.gradients import with_gradient
from keras_contrastive._engine.tiles import fits_one_tile
from keras_contrastive._typing import Tensor

_SMALLEST = 1e-12  # rows with smaller entries have no meaningful direction
_SHARE = 0.2  # XLA divides by multiplying with the reciprocal, and flushes that of 1e38 to zero


def normalize(embeddings: Tensor) -> Tensor:
    """Divides each row by its length. Rows of length 1e-10 and 1e30 keep their direction.

    A row of zeros stays zero and has a gradient of ordinary size, so it can recover in training.

    Args:
        embeddings: Float tensor `(..., dim)`.

    Returns:
        A tensor of the same shape and dtype. Rows have length 1, or 0 if they were almost zero.

    Example:

    >>> rows = normalize(keras.ops.array([[3.0, 4.0], [3e30, 4e30], [0.0, 0.0]]))
    >>> np.allclose(keras.ops.convert_to_numpy(rows), [[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]])
    True
    """
    if 0 in embeddings.shape:  # a replica without rows: `ops.max` of nothing raises on PyTorch
        # Another tensor, as for rows: `Batch` gathers each tensor once, and all replicas must
        # gather equally often.
        return ops.copy(embeddings)
    if fits_one_tile(embeddings, embeddings):  # the logits are stored too, and need more memory
        return _forward(embeddings)[0]
    return _normalize(embeddings)


def unit_rows(embeddings: Tensor) -> Tensor:
    """Computes `normalize` from plain operations, which every exporter of a backend supports.

    Args:
        embeddings: Float tensor `(batch, dim)`.

    Returns:
        A tensor of the same shape, in float32 or wider.
    """
    dtype = keras.backend.result_type(embeddings.dtype, "float32")
    return _forward(ops.cast(embeddings, dtype))[0]


def _forward(embeddings: Tensor) -> tuple[Tensor, None]:
    scaled, inverse_length, _ = _parts(embeddings)
    return scaled * inverse_length, None


def _backward(upstream: Tensor, _: None, embeddings: Tensor) -> tuple[Tensor]:
    # Only the embeddings are stored for the gradient. Autodiff would store three times as much.
    scaled, inverse_length, divisor = _parts(embeddings)
    along = ops.sum(scaled * upstream, axis=-1, keepdims=True) * inverse_length
    gradient = upstream * (inverse_length / divisor)
    gradient -= scaled * (
        along * inverse_length * (inverse_length / divisor)
    )  # in place on PyTorch
    return (gradient,)


_normalize = with_gradient(_forward, _backward)


def _parts(embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns rows divided by a share of their largest entry, 1 / their length, and the divisor."""
    # The square of 1e30 overflows in float32, so rows are first divided by a share of their largest
    # entry. It may be detached, since the result does not depend on it. The sum of squares is then
    # at least 25, or about 0 in a row of zeros.
    largest = ops.max(ops.abs(ops.stop_gradient(embeddings)), axis=-1, keepdims=True)
    is_zero = ops.cast(largest <= _SMALLEST, embeddings.dtype)
    divisor = largest * _SHARE + is_zero
    scaled = embeddings / divisor
    squares = ops.sum(scaled * scaled, axis=-1, keepdims=True)
    return scaled, ops.rsqrt(squares + is_zero / 2), divisor
