"""Every augmentation layer, with what its tests need to know."""

import numpy as np
from keras import ops

from keras_contrastive import augmentation as aug
from keras_contrastive._draws import hash_keys

TABLE = {5: [50, 51], 6: [60]}

# Where views of images differ for sure: every rate is 1, no range is empty.
IMAGE_LAYERS = {
    "flip": lambda **kw: aug.RandomFlip(**kw),
    "crop": lambda **kw: aug.RandomResizedCrop(**kw),
    "jitter": lambda **kw: aug.RandomColorJitter(rate=1, **kw),
    "grayscale": lambda **kw: aug.RandomGrayscale(rate=0.5, **kw),
    "blur": lambda **kw: aug.RandomGaussianBlur(rate=1, **kw),
    "simclr": lambda **kw: aug.SimCLRImageAugmenter(blur=True, **kw),
}
TOKEN_LAYERS = {
    "deletion": lambda **kw: aug.RandomTokenDeletion(rate=0.4, **kw),
    "swap": lambda **kw: aug.RandomTokenSwap(swaps=3, **kw),
    "masking": lambda **kw: aug.RandomTokenMasking(mask_id=99, rate=0.4, **kw),
    "replacement": lambda **kw: aug.RandomTokenReplacement(TABLE, rate=0.5, **kw),
    "insertion": lambda **kw: aug.RandomTokenInsertion(TABLE, insertions=2, **kw),
    "eda": lambda **kw: aug.EDATokenAugmenter(alpha=0.4, table=TABLE, mask_id=99, **kw),
}
LAYERS = IMAGE_LAYERS | TOKEN_LAYERS


def images(rows=8, height=7, width=6, dtype="float32"):
    return np.random.default_rng(0).uniform(0, 255, size=(rows, height, width, 3)).astype(dtype)


def tokens(rows=8, length=12):
    """Ids from 1 to 9, the last two padded."""
    ids = np.random.default_rng(1).integers(1, 10, size=(rows, length), dtype="int32")
    ids[:, -2:] = 0
    return ids


def inputs(name, **kwargs):
    return images(**kwargs) if name in IMAGE_LAYERS else tokens(**kwargs)


def row_keys(rows, seed=0):
    return hash_keys(seed, ops.arange(rows, dtype="int32"))
