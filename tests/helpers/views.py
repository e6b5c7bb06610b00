"""Batches of views for the tests of metrics."""

import numpy as np
from keras import ops

WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0, 3.0, 0.25, 1.0], "float32")
IDS = np.array([5, 1, 5, 2, 2**31 - 1, 2, 5])


def noisy_views(rng, num_views=2, rows=7, dim=4, noise=0.7):
    """Returns views of the same items with different centers."""
    item = rng.normal(size=(rows, dim))
    return [
        (item + i * np.eye(dim)[i] + noise * rng.normal(size=(rows, dim))).astype("float32")
        for i in range(num_views)
    ]


def measure(metric, *batches):
    """Returns the value after batches `(y_true, y_pred)` or `(y_true, y_pred, sample_weight)`."""
    for batch in batches:
        metric.update_state(*batch)
    return float(ops.convert_to_numpy(metric.result()))
