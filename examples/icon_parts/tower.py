"""The image tower: from pixels to the space of sentence vectors."""

import keras
import numpy as np
from keras import layers

from icon_parts.sentence_encoder import DIM

WIDTH = 16


def image_tower(width=WIDTH):
    """Returns a residual network from drawings `(batch, 32, 32, 1)` to sentence vectors."""
    inputs = keras.Input((32, 32, 1), dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    # Normalization of large maps takes longer than their convolutions.
    x = layers.Conv2D(2 * width, 4, 2, padding="same", activation="relu")(x)
    x = _residual(_convolution(x, 4 * width, strides=2))
    x = _residual(_convolution(x, 8 * width, strides=2))
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    x = layers.BatchNormalization(momentum=0.9)(layers.Dense(512, use_bias=False)(x))
    x = layers.Dense(DIM)(layers.Activation("relu")(x))
    return keras.Model(inputs, x, name="image_tower")


def _convolution(x, filters, strides=1, activation="relu"):
    x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
    return layers.Activation(activation)(layers.BatchNormalization(momentum=0.9)(x))


def _residual(x):
    filters = x.shape[-1]
    added = layers.add([x, _convolution(_convolution(x, filters), filters, activation="linear")])
    return layers.Activation("relu")(added)


def reduce(images):
    """Halves the size of drawings, `(drawings, 64, 64)`, to `(drawings, 32, 32, 1)`."""
    n, size, _ = images.shape
    small = images.reshape(n, size // 2, 2, size // 2, 2).mean(axis=(2, 4), dtype="float32")
    return small.astype("uint8")[..., None]


def embed(tower, images):
    """Returns unit vectors of drawings."""
    vectors = tower.predict(reduce(images), batch_size=1024, verbose=0)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
