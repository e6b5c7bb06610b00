"""Items that a figure shows: images or strings."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from keras import ops

from keras_contrastive._typing import Array

Items: TypeAlias = Sequence[Any] | Array


def to_array(value: Any) -> Array:
    """Returns an array, a tensor of any backend, or a list as a NumPy array."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return np.asarray(ops.convert_to_numpy(value))
    return np.asarray(value)


def as_labels(labels: Any) -> Array:
    """Returns labels `(n,)`, also those of `(n, 1)`, as an array."""
    labels = to_array(labels)
    return labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels


def are_strings(items: Items) -> bool:
    """Returns whether items are strings."""
    if isinstance(items, np.ndarray):
        return items.dtype.kind in "UO" and (items.size == 0 or isinstance(items.flat[0], str))
    return isinstance(items, (list, tuple)) and len(items) > 0 and isinstance(items[0], str)


def as_images(name: str, images: Items) -> list[Array]:
    """Returns images as uint8 arrays `(height, width, 3)`.

    Args:
        name: Name of the argument, for messages.
        images: `(n, height, width)` or `(n, height, width, channels)` with 1, 3 or 4 channels, or a
            list of images of any sizes. Integers and floats are in [0, 255], or all floats are in
            [0, 1].

    Raises:
        ValueError: If shapes or values are not those of images.
    """
    arrays = [to_array(image) for image in images]
    for array in arrays:
        if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (1, 3, 4)):
            raise ValueError(
                f"`{name}` must be images `(height, width)` or `(height, width, channels)` with 1, "
                f"3 or 4 channels. Received: an image of shape {array.shape}. Move the channels to "
                "the last axis."
            )
    arrays = [array * 255 if array.dtype.kind == "b" else array for array in arrays]
    low = min((float(np.min(array)) for array in arrays), default=0.0)
    high = max((float(np.max(array)) for array in arrays), default=0.0)
    if not (low >= 0 and high <= 255):  # also false for NaN
        raise ValueError(
            f"`{name}` must have values in [0, 255], or floats in [0, 1]. Received: values in "
            f"[{low:.4g}, {high:.4g}]. Pass the images as they are before any normalization."
        )
    is_unit = high <= 1 and all(array.dtype.kind not in "iu" for array in arrays)
    return [_as_rgb(array.astype("float32") * (255 if is_unit else 1)) for array in arrays]


def _as_rgb(image: Array) -> Array:
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[-1] == 4:  # on white
        opacity = image[..., 3:] / 255
        image = image[..., :3] * opacity + 255 * (1 - opacity)
    return np.broadcast_to(np.rint(image), (*image.shape[:2], 3)).astype("uint8")
