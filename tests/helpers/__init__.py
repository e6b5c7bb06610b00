"""Data and models that several test files share."""

import numpy as np


def embeddings(views=2, rows=5, dim=3, seed=0):
    """Returns a list of `views` random arrays of shape `(rows, dim)`, not normalized."""
    generator = np.random.default_rng(seed)
    return list(generator.normal(size=(views, rows, dim)).astype("float32"))


def normal(*shape, seed=0):
    """Returns one random array of this shape, not normalized."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")
