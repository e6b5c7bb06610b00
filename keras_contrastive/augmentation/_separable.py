"""Linear maps of images that treat rows and columns one after the other, each image by a map of its own.

Two batched matrix products, which every device is good at, where gathering pixels is slow.
"""

from keras import ops


def along_axes(images, rows, columns):
    """Apply one matrix to the height and one to the width of each image.

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


def resampling(start, length, size, new_size):
    """Weights that stretch or shrink a stretch of `size` pixels to `new_size`: bilinear, antialiased when shrinking.

    The filter is a triangle of half-width `max(length / new_size, 1)` pixels, as Pillow's `BILINEAR`; its weights
    within the image sum to 1.

    Args:
        start: `(batch,)`, the left end of the stretch, in pixels.
        length: `(batch,)`, its length, in pixels.
        size: Positive int, number of pixels.
        new_size: Positive int, number of pixels wanted.

    Returns:
        `(batch, new_size, size)`.
    """
    scale = ops.reshape(length / new_size, (-1, 1, 1))
    to = ops.reshape(ops.arange(new_size, dtype="float32") + 0.5, (1, -1, 1))
    centers = ops.reshape(start, (-1, 1, 1)) + to * scale
    pixels = ops.reshape(ops.arange(size, dtype="float32") + 0.5, (1, 1, -1))
    weights = ops.relu(1.0 - ops.abs(pixels - centers) / ops.maximum(scale, 1.0))
    return weights / ops.sum(weights, axis=-1, keepdims=True)


def blurring(sigma, size):
    """Weights of a Gaussian around each of `size` pixels; those within the image sum to 1.

    Args:
        sigma: `(batch,)`, positive, in pixels.
        size: Positive int.

    Returns:
        `(batch, size, size)`.
    """
    pixels = ops.arange(size, dtype="float32")
    squares = ops.square(ops.reshape(pixels, (1, -1, 1)) - ops.reshape(pixels, (1, 1, -1)))
    weights = ops.exp(-0.5 * squares / ops.square(ops.reshape(sigma, (-1, 1, 1))))
    return weights / ops.sum(weights, axis=-1, keepdims=True)
