"""Pooling of published backbones, by their family."""

from typing import Any

from keras_contrastive._tokens import POOLINGS
from keras_contrastive._typing import Tensor

# Class names of backbones that output a sequence. No other attribute identifies the pooling.
_MEAN = [
    "AlbertBackbone",
    "BertBackbone",
    "DebertaV3Backbone",
    "DistilBertBackbone",
    "ElectraBackbone",
    "ESMBackbone",
    "FNetBackbone",
    "RobertaBackbone",
    "RoformerV2Backbone",
    "SwinTransformerBackbone",
]
_CLASS_TOKEN = [
    "CLIPVisionEncoder",
    "DINOV2Backbone",
    "DINOV3Backbone",
    "DeiTBackbone",
    "MetaCLIP2VisionEncoder",
    "ViTBackbone",
]
_LAST_TOKEN = [
    "BloomBackbone",
    "FalconBackbone",
    "GPT2Backbone",
    "GPTNeoXBackbone",
    "GemmaBackbone",
    "GptOssBackbone",
    "LlamaBackbone",
    "MistralBackbone",
    "MixtralBackbone",
    "OPTBackbone",
    "Phi3Backbone",
    "Qwen3Backbone",
    "Qwen3MoeBackbone",
    "QwenBackbone",
    "QwenMoeBackbone",
    "SmolLM3Backbone",
]
_END_OF_TEXT = ["CLIPTextEncoder"]

_FAMILIES = {
    "mean": _MEAN,
    "class_token": _CLASS_TOKEN,
    "last_token": _LAST_TOKEN,
    "end_of_text": _END_OF_TEXT,
}


def pooling_for(backbone: Any, output: Tensor, pooling: str) -> str | None:
    """Returns the name of the pooling of a backbone, or `None` if its output is one vector.

    Args:
        backbone: A Keras model.
        output: Its symbolic output.
        pooling: `"auto"` for the pooling of the family, or the name of a pooling.

    Raises:
        ValueError: If `pooling` is unknown or does not fit the output, or if it is `"auto"` and the
            family is unknown.
    """
    if pooling != "auto" and pooling not in POOLINGS:
        raise ValueError(
            f"`pooling` must be 'auto' or one of {', '.join(POOLINGS)}. "
            f"Received: pooling={pooling!r}."
        )
    shape = tuple(output.shape)
    if len(shape) not in (2, 3, 4):
        raise ValueError(
            "The output of `backbone` must be vectors `(batch, dim)`, sequences "
            "`(batch, length, dim)` or feature maps `(batch, height, width, dim)`. "
            f"Received: shape {shape}."
        )
    if len(shape) == 3:
        return _family_pooling(backbone) if pooling == "auto" else pooling
    if pooling not in ("auto", "mean") or (len(shape) == 2 and pooling != "auto"):
        raise ValueError(
            "`pooling` must be 'auto' unless the output of `backbone` is a sequence "
            f"`(batch, length, dim)`. Received: pooling={pooling!r}, output of shape {shape}."
        )
    return "mean" if len(shape) == 4 else None


def _family_pooling(backbone: Any) -> str:
    if getattr(backbone, "use_class_token", True) is False:
        return "mean"
    for cls in type(backbone).__mro__:
        for pooling, names in _FAMILIES.items():
            if cls.__name__ in names:
                return pooling
    raise ValueError(
        f"`pooling` must be one of {', '.join(POOLINGS)} for a backbone of unknown family. "
        f"Received: pooling='auto', backbone=`{type(backbone).__name__}`. Usual choices are 'mean' "
        "for text encoders, 'class_token' for vision transformers and 'last_token' for causal "
        "models."
    )
