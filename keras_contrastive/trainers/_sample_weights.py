"""Sample weights, checked on the host."""

import numpy as np

from keras_contrastive._engine import to_numpy, without_column_axis
from keras_contrastive._typing import ArrayLike


def weights_of_array(sample_weight: ArrayLike) -> np.ndarray:
    """Returns weights as a float array `(batch,)`.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If the shape is another one, or a weight is negative or not finite.
    """
    weights = to_numpy(sample_weight)
    if weights.dtype.kind not in "biufV":  # V: bfloat16
        kind = "strings" if weights.dtype.kind in "USO" else f"dtype {weights.dtype}"
        raise TypeError(f"`sample_weight` must be numbers. Received: {kind}.")
    weights = without_column_axis(weights)
    if weights.ndim != 1:
        raise ValueError(
            f"`sample_weight` must have the shape `(batch,)` or `(batch, 1)`. "
            f"Received: shape {weights.shape}."
        )
    values = weights.astype("float32")
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
        raise ValueError(
            "`sample_weight` must be finite and at least 0. "
            f"Received: {values[wrong[0]]} at row {wrong[0]}."
        )
    return values if weights.dtype.kind in "biu" else weights
