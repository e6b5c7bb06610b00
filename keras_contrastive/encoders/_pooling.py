"""One vector for a sequence or a picture, and which of the ways a backbone was made for."""

import keras
from keras import ops

# Families whose output is a sequence, by the names of their classes: nothing else tells them apart.
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


def mean(x, mask, token_ids):
    """Over positions that are there; float32, in which no sum overflows."""
    x = ops.cast(x, "float32")
    if mask is None:
        return ops.mean(x, axis=1)
    mask = ops.cast(ops.expand_dims(mask, -1), x.dtype)
    return ops.sum(x * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1.0)


def class_token(x, mask, token_ids):
    """The first position, in front of the others."""
    return x[:, 0]


def last_token(x, mask, token_ids):
    """The last position that is there: the one that has seen all others in a causal model."""
    if mask is None:
        return x[:, -1]
    positions = ops.arange(ops.shape(x)[1], dtype="int32")
    return _at(x, ops.max(ops.cast(mask, "int32") * positions, axis=1))


def end_of_text(x, mask, token_ids):
    """CLIP's: the position of the highest token id, which is that of the end of text."""
    return _at(x, ops.argmax(token_ids, axis=-1))


POOLINGS = {
    "mean": mean,
    "class_token": class_token,
    "last_token": last_token,
    "end_of_text": end_of_text,
}


def _at(x, positions):
    chosen = ops.take_along_axis(x, ops.cast(ops.reshape(positions, (-1, 1, 1)), "int32"), axis=1)
    return ops.squeeze(chosen, axis=1)


def pooling_for(backbone, output, asked):
    """The name of the pooling for an output of a backbone; `None` where it is one vector already."""
    rank = len(output.shape)
    if rank not in (2, 3, 4):
        raise ValueError(
            "The output of the backbone must be vectors `(batch, dim)`, sequences `(batch, length, dim)` or feature "
            f"maps `(batch, height, width, dim)`. Received: shape {tuple(output.shape)}."
        )
    if asked != "auto" and asked not in POOLINGS:
        raise ValueError(
            f"`pooling` must be 'auto' or one of {', '.join(POOLINGS)}. Received: pooling={asked!r}."
        )
    if rank != 3:
        if asked not in ("auto", "mean") or (rank == 2 and asked != "auto"):
            raise ValueError(
                f"`pooling={asked!r}` needs a backbone whose output is sequences `(batch, length, dim)`. "
                f"Received: shape {tuple(output.shape)}. Leave `pooling` at 'auto'."
            )
        return "mean" if rank == 4 else None
    return _of_family(backbone) if asked == "auto" else asked


def _of_family(backbone):
    if getattr(backbone, "use_class_token", True) is False:
        return "mean"
    families = {
        "mean": _MEAN,
        "class_token": _CLASS_TOKEN,
        "last_token": _LAST_TOKEN,
        "end_of_text": _END_OF_TEXT,
    }
    for cls in type(backbone).__mro__:
        for pooling, names in families.items():
            if cls.__name__ in names:
                return pooling
    raise ValueError(
        f"The family of `{type(backbone).__name__}` is not known, so it must be said how its sequences become one "
        f"vector: pass `pooling`, one of {', '.join(POOLINGS)}. Received: pooling='auto'. "
        "Usual are 'mean' for encoders of text, 'class_token' for vision transformers, 'last_token' for causal models."
    )


def flattened(x, data_format):
    """Feature maps as sequences of their positions."""
    if (data_format or keras.config.image_data_format()) == "channels_first":
        x = ops.transpose(x, (0, 2, 3, 1))
    return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))
