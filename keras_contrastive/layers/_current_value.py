"""Values of weights for text."""

from typing import Any

import numpy as np
from keras import ops

from keras_contrastive._typing import Array


def current_value(weight: Any) -> Array | None:
    """Returns the value of a weight as a NumPy array, or `None` in a traced program."""
    try:
        return np.asarray(ops.convert_to_numpy(weight))
    except (TypeError, ValueError, NotImplementedError, AttributeError, RuntimeError):
        # Backends raise different errors. A weight has no value while a step is traced.
        return None
