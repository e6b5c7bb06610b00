"""Means over queries and their standard errors."""

import math

import numpy as np

from keras_contrastive._typing import Array


def mean_and_error(values: Array) -> tuple[float, float]:
    """Returns the mean of values and its standard error. NaN if there are too few."""
    count = len(values)
    mean = float(np.mean(values)) if count else math.nan
    return mean, float(np.std(values, ddof=1) / math.sqrt(count)) if count > 1 else math.nan
