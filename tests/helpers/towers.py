"""Small towers and data that train in no time."""

import keras
import numpy as np
from keras import ops


def tower(inputs, dim=4, name=None):
    """A two-layer tower from `(batch, inputs)` to `(batch, dim)`."""
    return keras.Sequential(
        [keras.Input((inputs,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(dim)],
        name=name,
    )


def pairs(rows=24, seed=0):
    """Images and texts that share a hidden cause, so that a model can match them."""
    generator = np.random.default_rng(seed)
    cause = generator.normal(size=(rows, 3))
    image = np.tanh(cause @ generator.normal(size=(3, 6))) + 0.1 * generator.normal(size=(rows, 6))
    text = np.tanh(cause @ generator.normal(size=(3, 5))) + 0.1 * generator.normal(size=(rows, 5))
    return {"image": image.astype("float32"), "text": text.astype("float32")}


def settle(layer, seed=0):
    """Give all weights values that do not depend on the backend's own initializers."""
    generator = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        weight.assign(generator.normal(size=weight.shape, scale=0.5).astype("float32"))
    return layer


def towers(seed=0):
    """Two towers for `pairs()`, always with the same weights."""
    return {
        "image": settle(tower(6, name="image_tower"), seed),
        "text": settle(tower(5, name="text_tower"), seed + 1),
    }


@keras.saving.register_keras_serializable(package="tests")
class Shift(keras.layers.Layer):
    """An augmentation whose result can be computed by hand."""

    def __init__(self, by=0.5, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def call(self, inputs, training=None):
        return ops.add(inputs, self.by) if training else inputs

    def get_config(self):
        return {**super().get_config(), "by": self.by}


@keras.saving.register_keras_serializable(package="tests")
class MeanSquare(keras.layers.Layer):
    """A regularizer without weights: mean square of all embeddings."""

    def penalty(self, views):
        return ops.mean(ops.square(ops.concatenate(list(views.values()), axis=1)))


@keras.saving.register_keras_serializable(package="tests")
class Directions(keras.layers.Layer):
    """A regularizer with a weight for each view, whose shapes it must know before the first step."""

    def build(self, shapes):
        self.directions = {
            name: self.add_weight(name=name, shape=(shape[-1], 1), initializer="ones")
            for name, shape in shapes.items()
        }
        self.built = True

    def penalty(self, views):
        shares = [
            ops.cast(views[name], "float32") @ weight for name, weight in self.directions.items()
        ]
        return sum(ops.mean(ops.square(share)) for share in shares)
