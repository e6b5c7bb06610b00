"""A small fusion model with fixed weights, and images with texts that describe them."""

import zlib

import keras
import numpy as np

from keras_contrastive.encoders import PatchTower, TextTower
from keras_contrastive.fusion import (
    FusionEncoder,
    FusionTrainer,
    ImageTextMatching,
    MaskedLanguage,
)
from keras_contrastive.layers import MomentumTeacher
from keras_contrastive.losses import InfoNCE
from tests.helpers.backend import to_numpy
from tests.helpers.towers import settle

ROWS, LENGTH, VOCABULARY, DIM = 24, 7, 16, 8
CLS, SEP, MASK = 1, 2, 3


def data(rows=ROWS, seed=0):
    """Images of 4 x 4 pixels with two channels, and texts with a word for some of the patches.

    Words 4 to 7 are the brightness of the first channel of a patch, 8 to 11 that of the second.
    """
    generator = np.random.default_rng(seed)
    levels = generator.integers(0, 4, (rows, 2, 2, 2))
    images = np.repeat(np.repeat(levels / 1.5 - 1, 2, axis=1), 2, axis=2)
    images += 0.05 * generator.normal(size=images.shape)
    words = np.concatenate([4 + levels[..., 0].reshape(rows, 4), 8 + levels[:, 0, 0, 1:]], axis=1)
    texts = np.zeros((rows, LENGTH), "int32")
    for row in range(rows):
        length = generator.integers(3, 6)
        texts[row, : length + 2] = [CLS, *words[row, :length], SEP]
    return {"image": images.astype("float32"), "text": texts}


def towers(**kwargs):
    sizes = {"dim": DIM, "num_layers": 1, "num_heads": 2, "hidden_dim": 12} | kwargs
    return {
        "image": PatchTower(2, **{**sizes, "dim": 6}, name="image_tower"),
        "text": TextTower(VOCABULARY, LENGTH, **sizes, name="text_tower"),
    }


def fusion_trainer(
    encoders=None, loss=None, optimizer=None, dropout=0.0, compiled_with=None, **kwargs
):
    """A built and compiled model with everything that draws or has state, unless overridden.

    It runs eagerly by default, since JAX needs 15 seconds to compile a step.
    """
    parts: dict = {
        "projectors": {
            name: keras.layers.Dense(4, name=f"{name}_projector") for name in ("image", "text")
        },
        "matching": ImageTextMatching(seed=7, name="matching"),
        "masked_language": masked_language(),
        "teacher": teacher(),
        "pooling": "class_token",
    }
    fusion = FusionEncoder(1, 2, hidden_dim=12, dropout=dropout, name="fusion")
    model = FusionTrainer(encoders or towers(dropout=dropout), fusion, **parts | kwargs)
    model(
        {
            name: keras.tree.map_structure(lambda array: array[:1], rows)
            for name, rows in data().items()
        }
    )
    settled(model)
    model.compile(
        optimizer or keras.optimizers.SGD(0.1),
        loss or InfoNCE(0.2),
        **compiled_with or {"run_eagerly": True},
    )
    return model


def masked_language(**kwargs):
    return MaskedLanguage(VOCABULARY, MASK, kept_ids=(CLS, SEP), rate=0.3, seed=5, **kwargs)


def teacher(momentum=0.9, soft_targets=0.4, soft_target_steps=3):
    return MomentumTeacher(momentum, soft_targets, soft_target_steps)


def settled(model):
    """Gives all weights values that do not depend on the initializers of the backend."""
    projectors = {f"{name}_projector": layer for name, layer in model.projectors.items()}
    parts: dict = {
        **model.encoders,
        **projectors,
        "fusion": model.fusion,
        "matching": model.matching,
    }
    settle_parts({**parts, "language": model.masked_language})


def settle_parts(parts):
    """Settles layers by name, except normalization layers."""
    for name, layer in parts.items():
        if layer is None:
            continue
        norms = {
            weight.path: to_numpy(weight).copy()
            for weight in layer.weights
            if "norm" in weight.path
        }
        settle(layer, zlib.crc32(name.encode()))
        for weight in layer.weights:
            if weight.path in norms:
                weight.assign(norms[weight.path])
