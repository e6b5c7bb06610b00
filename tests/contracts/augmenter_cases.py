"""One case for each augmentation layer, and inputs of fixed shapes."""

import numpy as np
from keras import ops

from keras_contrastive import augmentation as aug
from keras_contrastive._draws import hash_keys

TABLE = {5: [50, 51], 6: [60]}
# JAX compiles each operation for each shape, so most tests use these.
ROWS, IMAGE_SHAPE, LENGTH = 8, (7, 6, 3), 12

# High rates and wide ranges: nearly every view differs from its input.
IMAGE_LAYERS = {
    "flip": lambda **kw: aug.RandomFlip(**kw),
    "crop": lambda **kw: aug.RandomResizedCrop(**kw),
    "jitter": lambda **kw: aug.RandomColorJitter(rate=1, **kw),
    "grayscale": lambda **kw: aug.RandomGrayscale(factor=0.5, **kw),
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
    "corruption": lambda **kw: aug.TokenCorruption(100, mask_id=99, rate=0.5, **kw),
}
LAYERS = IMAGE_LAYERS | TOKEN_LAYERS


def images(rows=ROWS, height=IMAGE_SHAPE[0], width=IMAGE_SHAPE[1], dtype="float32"):
    return np.random.default_rng(0).uniform(0, 255, size=(rows, height, width, 3)).astype(dtype)


def tokens(rows=ROWS, length=LENGTH):
    """Returns ids from 1 to 9. The last two are padding."""
    ids = np.random.default_rng(1).integers(1, 10, size=(rows, length), dtype="int32")
    ids[:, -2:] = 0
    return ids


def inputs(name, **kwargs):
    return images(**kwargs) if name in IMAGE_LAYERS else tokens(**kwargs)


def row_keys(rows, seed=0):
    return hash_keys(seed, ops.arange(rows, dtype="int32"))
