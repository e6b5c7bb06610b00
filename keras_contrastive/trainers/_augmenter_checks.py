"""Warnings about augmenters that work, but not as their user probably expects."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Layers, Structure

_DETERMINISTIC = (
    keras.layers.CategoryEncoding,
    keras.layers.CenterCrop,
    keras.layers.Discretization,
    keras.layers.Hashing,
    keras.layers.IntegerLookup,
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.Resizing,
    keras.layers.StringLookup,
    keras.layers.TextVectorization,
)


def warn_of_preprocessing(augmenters: Layers | None) -> None:
    """Warns if augmenters contain layers without randomness, which only random views would get."""
    for name, augmenter, _ in _by_name(augmenters):
        found = [part for part in _parts(augmenter) if isinstance(part, _DETERMINISTIC)]
        if found:
            listing = ", ".join(f"{part.name} ({type(part).__name__})" for part in found)
            _checks.warn(
                f"`{name}` contains layers without randomness: {listing}. Augmenters make random "
                "views only. `predict` and views that are not augmented skip them, so the encoder "
                "gets other inputs there. Move them to the start of the encoder."
            )


def warn_of_values(augmenters: Layers | None, x: Structure) -> None:
    """Warns if arrays have values that an augmenter clips. Checks each augmenter once.

    Args:
        augmenters: See `ContrastiveTrainer`.
        x: The inputs, by modality if the augmenters are. Only NumPy arrays are checked.
    """
    for _, augmenter, modality in _by_name(augmenters):
        inputs = x.get(modality) if modality is not None and isinstance(x, dict) else x
        for part in _parts(augmenter) if isinstance(inputs, np.ndarray) else ():
            if hasattr(part, "warn_of_values"):
                part.warn_of_values(inputs)
            if not hasattr(part, "layers") and not isinstance(part, keras.layers.InputLayer):
                break  # Later layers get other values.


def _by_name(augmenters: Layers | None) -> Iterator[tuple[str, Any, str | None]]:
    """Returns the text for messages, the augmenter and its modality, for each augmenter."""
    if not isinstance(augmenters, dict):
        augmenters = {None: augmenters}
    for modality, augmenter in augmenters.items():
        name = "augmenters" if modality is None else f"augmenters[{modality!r}]"
        if augmenter is not None:
            yield name, augmenter, modality


def _parts(layer: Any) -> Iterator[Any]:
    """Returns a layer and the layers inside it, in order."""
    yield layer
    for part in getattr(layer, "layers", ()):
        yield from _parts(part)
