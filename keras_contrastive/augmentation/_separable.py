"""Linear maps of images along height and width, with separate weights for each image.

They are two batched matrix products, which are fast on every device. Gathering pixels is slow.
"""

from keras import ops

from keras_contrastive._typing import Tensor


def apply_along_axes(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Multiplies the height and the width of each image with a matrix.

    Args:
        images: `(batch, height, width, channels)`.
        rows: `(batch, new_height, height)`.
        columns: `(batch, new_width, width)`.

    Returns:
        `(batch, new_height, new_width, channels)`.
    """
    height, width, channels = images.shape[1:]
    new_height, new_width = rows.shape[1], columns.shape[1]
    x = ops.matmul(rows, ops.reshape(images, (-1, height, width * channels)))
    x = ops.transpose(ops.reshape(x, (-1, new_height, width, channels)), (0, 2, 1, 3))
    x = ops.matmul(columns, ops.reshape(x, (-1, width, new_height * channels)))
    return ops.transpose(ops.reshape(x, (-1, new_width, new_height, channels)), (0, 2, 1, 3))


def resize_weights(start: Tensor, length: Tensor, size: int, new_size: int) -> Tensor:
    """Computes the weights that resize an interval of pixels: bilinear and antialiased.

    The filter is a triangle of half-width `max(length / new_size, 1)` pixels, as in Pillow's
    `BILINEAR`. Its weights within the image sum to 1.

    Args:
        start: `(batch,)`, the left end of the interval, in pixels.
        length: `(batch,)`, the length of the interval, in pixels.
        size: Positive int, the number of pixels of the image.
        new_size: Positive int, the number of pixels of the result.

    Returns:
        `(batch, new_size, size)`.
    """
    scale = ops.reshape(length / new_size, (-1, 1, 1))
    new_pixels = ops.reshape(ops.arange(new_size, dtype="float32") + 0.5, (1, -1, 1))
    centers = ops.reshape(start, (-1, 1, 1)) + new_pixels * scale
    pixels = ops.reshape(ops.arange(size, dtype="float32") + 0.5, (1, 1, -1))
    weights = ops.relu(1.0 - ops.abs(pixels - centers) / ops.maximum(scale, 1.0))
    return weights / ops.sum(weights, axis=-1, keepdims=True)


def blur_weights(sigma: Tensor, size: int) -> Tensor:
    """Computes the weights of Gaussians around each pixel. Those within the image sum to 1.

    Args:
        sigma: `(batch,)` or `(batch, 1)`, positive standard deviations in pixels.
        size: Positive int, the number of pixels.

    Returns:
        `(batch, size, size)`.
    """
    pixels = ops.arange(size, dtype="float32")
    squares = ops.square(ops.reshape(pixels, (1, -1, 1)) - ops.reshape(pixels, (1, 1, -1)))
    weights = ops.exp(-0.5 * squares / ops.square(ops.reshape(sigma, (-1, 1, 1))))
    return weights / ops.sum(weights, axis=-1, keepdims=True)
