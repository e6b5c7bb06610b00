"""Numeric gradients in float64."""

import numpy as np


def numeric_gradient(function, x, step=1e-6):
    """Central differences of a scalar function of one float64 array."""
    x = np.array(x, "float64")
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient
