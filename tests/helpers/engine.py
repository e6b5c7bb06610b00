"""Batches and contrasts from lists of views, for tests of the engine."""

import numpy as np
from keras import ops

from keras_contrastive._engine import Batch, Contrast


def batch_of(views, ids=None):
    """A batch whose views are named "0", "1", ..."""
    views = {str(i): ops.convert_to_tensor(view) for i, view in enumerate(views)}
    return Batch(views, None if ids is None else ops.convert_to_tensor(np.array(ids, "int32")))


def contrast_of(views, directions=(), ids=None, scale=1.0):
    """A contrast of views that are given by index."""
    names = [(str(a), str(b)) for a, b in directions]
    return Contrast(batch_of(views, ids), names, scale)
