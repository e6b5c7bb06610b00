"""Pictures composed of drawings."""

import math

import numpy as np


def compose(drawings, cells):
    """Places drawings on square grids with a white background.

    Args:
        drawings: `(drawings, side, side, 3)` uint8.
        cells: `(..., places)` int, rows of `drawings` from left to right and from top to bottom. -1
            is an empty place. `places` is a square number.

    Returns:
        `(..., size, size, 3)` uint8, where `size` is `side` times the square root of `places`.

    Raises:
        ValueError: If the number of places is not a square.

    Example:

    >>> black = np.zeros((1, 1, 1, 3), "uint8")
    >>> compose(black, np.array([[0, -1, -1, 0]]))[0, :, :, 0]
    array([[  0, 255],
           [255,   0]], dtype=uint8)
    """
    cells = np.asarray(cells)
    *outer, places = cells.shape
    across = math.isqrt(places)
    if across**2 != places:
        raise ValueError(
            f"`cells` must have a square number of places. Received: cells.shape={cells.shape}."
        )
    side = drawings.shape[1]
    pixels = drawings[cells]
    pixels[cells < 0] = 255
    grid = pixels.reshape(-1, across, across, side, side, 3).swapaxes(2, 3)
    return grid.reshape(*outer, across * side, across * side, 3)
