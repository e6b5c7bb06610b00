"""Training of the image tower: views of drawings, batches, and the loss."""

import keras
import numpy as np
from keras import layers

import keras_contrastive as kc
from icon_parts.tower import image_tower, reduce

BATCH, RATE, DECAY = 128, 2e-3, 0.05


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


class Batches(keras.utils.PyDataset):
    """Batches of a drawing, another drawing of the same concept, and the vector of the name.

    The ids are the concepts. Two drawings of one concept are never negatives of each other.
    """

    def __init__(self, drawings, texts, batch, seed):
        super().__init__()
        self.drawings, self.texts, self.batch = drawings, texts, batch
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
        others = self.sorted[self.rng.integers(self.first[rows], self.last[rows])]
        x = {
            "drawing": augment(self.drawings.images[rows], self.rng),
            "other drawing": augment(self.drawings.images[others], self.rng),
            "text": self.texts[rows],
        }
        return x, self.drawings.concepts[rows].astype("int32")

    def on_epoch_end(self):
        self.order = self.rng.permutation(self.order)


def train(drawings, texts, epochs, seed):
    """Trains an image tower.

    Args:
        drawings: The `Drawings` of the training.
        texts: `(drawings, 384)`, the vectors of their names.
        epochs: Number of passes over the drawings.
        seed: Of the weights, the order and the views.
    """
    keras.utils.set_random_seed(seed)
    tower = image_tower()
    # The sentence encoder is frozen, so its vectors are the embeddings.
    model = kc.ContrastiveTrainer(
        {"drawing": tower, "other drawing": tower, "text": layers.Identity()}
    )
    batches = Batches(drawings, texts, BATCH, seed)
    steps = epochs * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=RATE, warmup_steps=max(1, steps // 10)
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=DECAY),
        loss=kc.losses.InfoNCE(kc.layers.LearnableTemperature(0.07)),
    )
    model.fit(batches, epochs=epochs, verbose=2)
    return tower
