"""Small towers, augmenters, regularizers and data for trainers."""

import keras
import numpy as np
from keras import ops


def tower(inputs, dim=4, name=None):
    """Returns a two-layer tower from `(batch, inputs)` to `(batch, dim)`."""
    return keras.Sequential(
        [keras.Input((inputs,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(dim)],
        name=name,
    )


def pairs(rows=24, seed=0):
    """Returns images and texts that share a hidden cause, so that a model can match them."""
    generator = np.random.default_rng(seed)
    cause = generator.normal(size=(rows, 3))
    image = np.tanh(cause @ generator.normal(size=(3, 6))) + 0.1 * generator.normal(size=(rows, 6))
    text = np.tanh(cause @ generator.normal(size=(3, 5))) + 0.1 * generator.normal(size=(rows, 5))
    return {"image": image.astype("float32"), "text": text.astype("float32")}


def settle(layer, seed=0):
    """Gives all weights values that do not depend on the initializers of the backend."""
    generator = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        weight.assign(generator.normal(size=weight.shape, scale=0.5).astype("float32"))
    return layer


def towers(seed=0):
    """Returns two towers for `pairs()` with fixed weights."""
    return {
        "image": settle(tower(6, name="image_tower"), seed),
        "text": settle(tower(5, name="text_tower"), seed + 1),
    }


@keras.saving.register_keras_serializable(package="tests")
class Shift(keras.layers.Layer):
    """Adds a constant in training, so that results can be computed by hand."""

    def __init__(self, by=0.5, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def call(self, inputs, training=None):
        return ops.add(inputs, self.by) if training else inputs

    def get_config(self):
        return {**super().get_config(), "by": self.by}


@keras.saving.register_keras_serializable(package="tests")
class MeanSquare(keras.layers.Layer):
    """Penalizes the mean square of all embeddings. It has no weights."""

    def penalty(self, views):
        return ops.mean(ops.square(ops.concatenate(list(views.values()), axis=1)))


@keras.saving.register_keras_serializable(package="tests")
class Directions(keras.layers.Layer):
    """Penalizes projections of the views. It has a weight per view, built from shapes."""

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
