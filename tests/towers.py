"""Small towers and data that train in no time."""

import keras
import numpy as np


def tower(inputs, dim=4, name=None):
    """A two-layer tower from `(batch, inputs)` to `(batch, dim)`."""
    return keras.Sequential(
        [keras.Input((inputs,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(dim)], name=name
    )


def pairs(rows=24, seed=0):
    """Images and texts that share a hidden cause, so that a model can match them."""
    generator = np.random.default_rng(seed)
    cause = generator.normal(size=(rows, 3))
    image = np.tanh(cause @ generator.normal(size=(3, 6))) + 0.1 * generator.normal(size=(rows, 6))
    text = np.tanh(cause @ generator.normal(size=(3, 5))) + 0.1 * generator.normal(size=(rows, 5))
    return {"image": image.astype("float32"), "text": text.astype("float32")}
