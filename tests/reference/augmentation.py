"""Image augmentations as float64 loops, from their definitions."""

import math

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114])


def resized(image, top, left, height, width, new_height, new_width):
    """Returns a box of an image, resized with the triangle filter of Pillow."""
    rows = _triangles(top, height, image.shape[0], new_height)
    columns = list(_triangles(left, width, image.shape[1], new_width))
    view = np.zeros((new_height, new_width, image.shape[2]))
    for i, weights_i in enumerate(rows):
        for j, weights_j in enumerate(columns):
            for row, a in weights_i:
                for column, b in weights_j:
                    view[i, j] += a * b * image[row, column]
    return view


def _triangles(start, length, size, new_size):
    step = length / new_size
    reach = max(step, 1.0)
    for i in range(new_size):
        center = start + (i + 0.5) * step
        weights = [(p, max(0.0, 1 - abs(p + 0.5 - center) / reach)) for p in range(size)]
        total = sum(w for _, w in weights)
        yield [(p, w / total) for p, w in weights if w]


def blurred(image, sigma):
    """Returns an image blurred by a Gaussian that is normalized over the pixels of the image."""
    view = np.zeros(image.shape)
    ys, xs = np.mgrid[: image.shape[0], : image.shape[1]]
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            weights = np.exp(-((ys - i) ** 2 + (xs - j) ** 2) / (2 * sigma**2))
            view[i, j] = (weights[..., None] * image).sum(axis=(0, 1)) / weights.sum()
    return view


def jittered(image, brightness, contrast, saturation, turns, black=0.0, white=255.0):
    """Changes brightness, contrast, saturation and hue, pixel by pixel."""
    view = np.clip(black + brightness * (image - black), black, white)
    mean = np.mean(view @ LUMA)
    view = np.clip(mean + contrast * (view - mean), black, white)
    for pixel in view.reshape(-1, 3):
        gray = pixel @ LUMA
        pixel[:] = rotated_hue(gray + saturation * (pixel - gray), turns)
    return np.clip(view, black, white)


def rotated_hue(pixel, turns):
    """Rotates I and Q of a pixel, with the published NTSC coefficients of both conversions."""
    r, g, b = pixel
    y = 0.299 * r + 0.587 * g + 0.114 * b
    i = 0.595716 * r - 0.274453 * g - 0.321263 * b
    q = 0.211456 * r - 0.522591 * g + 0.311135 * b
    angle = 2 * math.pi * turns
    i, q = math.cos(angle) * i - math.sin(angle) * q, math.sin(angle) * i + math.cos(angle) * q
    return y + np.array(
        [0.9563 * i + 0.6210 * q, -0.2721 * i - 0.6474 * q, -1.1070 * i + 1.7046 * q]
    )
