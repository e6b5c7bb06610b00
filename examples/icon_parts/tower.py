"""The image tower, its training, and the augmentation of drawings."""

import keras
import numpy as np
from keras import layers

import keras_contrastive as kc
from icon_parts.sentence_encoder import DIM

WIDTH, BATCH, RATE, DECAY = 16, 256, 2e-3, 0.05


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


# Augmentation


def augment(images, rng):
    """Zooms, shifts and turns drawings at random, changes their strokes, and halves their size.

    Args:
        images: `(drawings, 64, 64)` uint8.

    Returns:
        `(drawings, 32, 32, 1)` uint8.
    """
    n, size, _ = images.shape
    images = _change_strokes(images, rng)
    zoom, angle = 1 + rng.uniform(-0.15, 0.15, n), rng.uniform(-0.12, 0.12, n)
    shift = rng.uniform(-0.06, 0.06, (2, n, 1, 1)) * size
    cos, sin = (zoom * turn(angle) for turn in (np.cos, np.sin))
    # Four samples of the large drawing in each pixel of the small one.
    grid = np.arange(size, dtype="float32") - (size - 1) / 2
    rows, columns = grid[:, None], grid[None]
    turned = [
        cos[:, None, None] * rows - sin[:, None, None] * columns + shift[0],
        sin[:, None, None] * rows + cos[:, None, None] * columns + shift[1],
    ]
    rows, columns = (np.rint(axis + (size - 1) / 2).astype("int32") + 1 for axis in turned)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    rows, columns = (np.clip(axis, 0, size + 1) for axis in (rows, columns))
    return reduce(padded[np.arange(n)[:, None, None], rows, columns])


def _change_strokes(images, rng):
    """Makes the strokes of a third of the drawings thicker, and those of a sixth thinner."""
    images = images.copy()
    which = rng.integers(6, size=len(images))
    images[which < 2] = _extreme(images[which < 2], np.maximum)
    images[which < 1] = _extreme(images[which < 1], np.maximum)
    images[which == 2] = _extreme(images[which == 2], np.minimum)
    return images


def _extreme(images, function):
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    middle = padded[:, 1:-1]
    tall = function(function(padded[:, :-2], middle), padded[:, 2:])
    return function(function(tall[:, :, :-2], tall[:, :, 1:-1]), tall[:, :, 2:])


# Training


class Batches(keras.utils.PyDataset):
    """Batches of a drawing, another drawing of the same concept, and the vector of the name."""

    def __init__(self, drawings, texts, batch, seed, pairs):
        super().__init__()
        self.drawings, self.texts, self.batch, self.pairs = drawings, texts, batch, pairs
        self.rng = np.random.default_rng(seed)
        self.order = self.rng.permutation(len(drawings))
        self.sorted = np.argsort(drawings.concepts, kind="stable")
        ordered = drawings.concepts[self.sorted]
        self.first = np.searchsorted(ordered, drawings.concepts)
        self.last = np.searchsorted(ordered, drawings.concepts, "right")

    def __len__(self):
        return len(self.order) // self.batch

    def __getitem__(self, number):
        rows = self.order[number * self.batch : (number + 1) * self.batch]
        x = {"drawing": augment(self.drawings.images[rows], self.rng), "text": self.texts[rows]}
        if self.pairs:
            other = self.sorted[self.rng.integers(self.first[rows], self.last[rows])]
            x["other drawing"] = augment(self.drawings.images[other], self.rng)
        return x, self.drawings.concepts[rows].astype("int32")

    def on_epoch_end(self):
        self.order = self.rng.permutation(self.order)


def train(drawings, texts, epochs, seed, loss=None, pairs=True, batch=BATCH, width=WIDTH, rate=RATE):
    keras.utils.set_random_seed(seed)
    tower = image_tower(width)
    encoders = {"drawing": tower, "text": layers.Identity()}
    if pairs:
        encoders["other drawing"] = tower
    model = kc.ContrastiveTrainer(encoders)
    batches = Batches(drawings, texts, batch, seed, pairs)
    steps = epochs * len(batches)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=rate, warmup_steps=steps // 10
    )
    loss = loss or kc.losses.InfoNCE(kc.layers.LearnableTemperature(0.07))
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=DECAY), loss=loss)
    model.fit(batches, epochs=epochs, verbose=2)
    return tower
