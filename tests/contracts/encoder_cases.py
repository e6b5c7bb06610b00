"""One case for each public encoder and tower, with its inputs."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_contrastive import encoders
from keras_contrastive.encoders import Encoder, PatchTower, TextTower, TransformerBlock

SHAPES = {"image": (8, 8, 3), "text": (6,), "tokens": (4, 6), "context": (5, 3)}


def batch(rows, names=tuple(SHAPES)):
    """Returns arrays by input name. The last two token ids of each text are padding."""
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.uniform(size=(rows, *shape)).astype("float32") for name, shape in SHAPES.items()
    }
    arrays["text"] = rng.integers(1, 30, size=(rows, *SHAPES["text"]), dtype="int32")
    arrays["text"][:, -2:] = 0
    return {name: arrays[name] for name in names}


def symbolic(name):
    dtype = "int32" if name == "text" else "float32"
    return keras.Input(SHAPES[name], dtype=dtype, name=name)


def backbone(**kwargs):
    layers = [
        keras.layers.Conv2D(6, 3, name="conv"),
        keras.layers.Dropout(kwargs.pop("dropout", 0)),
    ]
    return keras.Sequential([keras.Input(SHAPES["image"]), *layers])


@dataclasses.dataclass(frozen=True)
class Case:
    """How to create an encoder, which inputs it takes, and the shape of one output."""

    make: Callable[..., Any]
    inputs: tuple[str, ...]
    output_shape: tuple[int, ...]

    def call(self, encoder, inputs, **kwargs):
        first, *others = self.inputs
        return encoder(inputs[first], **{name: inputs[name] for name in others}, **kwargs)


SIZES = {"num_layers": 1, "num_heads": 2}
CASES = {
    "PatchTower": Case(lambda **kw: PatchTower(4, 8, **SIZES, **kw), ("image",), (5, 8)),
    "PatchTower, no class token": Case(
        lambda **kw: PatchTower(4, 8, **SIZES, use_class_token=False, **kw), ("image",), (4, 8)
    ),
    "TextTower": Case(lambda **kw: TextTower(30, 6, 8, **SIZES, **kw), ("text",), (6, 8)),
    "TransformerBlock": Case(lambda **kw: TransformerBlock(2, 12, **kw), ("tokens",), (4, 6)),
    "TransformerBlock, cross-attention": Case(
        lambda **kw: TransformerBlock(2, 12, context_dim=3, **kw), ("tokens", "context"), (4, 6)
    ),
    "Encoder": Case(
        lambda dropout=0.0, **kw: Encoder(backbone(dropout=dropout), 3, **kw), ("image",), (3,)
    ),
}
# Not called on data: the parts of a split backbone, and an activation.
WITHOUT_CASE = {"BackboneBias", "BackboneTemperature", "ImageTextTowers"}
CLASSES = {name for name in encoders.__all__ if isinstance(getattr(encoders, name), type)}
