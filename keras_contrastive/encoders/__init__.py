"""Towers from published backbones, and small towers for patches and tokens."""

from keras_contrastive._transformer_block import TransformerBlock, gelu_tanh
from keras_contrastive.encoders._encoder import Encoder
from keras_contrastive.encoders._image_text_towers import (
    BackboneBias,
    BackboneTemperature,
    ImageTextTowers,
    split_image_text_backbone,
)
from keras_contrastive.encoders._patch_tower import PatchTower
from keras_contrastive.encoders._text_tower import TextTower

__all__ = [
    "BackboneBias",
    "BackboneTemperature",
    "Encoder",
    "ImageTextTowers",
    "PatchTower",
    "TextTower",
    "TransformerBlock",
    "gelu_tanh",
    "split_image_text_backbone",
]


def __dir__() -> list[str]:
    return __all__
