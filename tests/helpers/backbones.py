"""Small backbones of keras-hub with random weights, and data for them."""

import numpy as np
from keras import ops

ROWS, LENGTH, SIDE, VOCABULARY = 12, 6, 16, 40
_TEXT = {
    "vocabulary_size": VOCABULARY,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 12,
}
_CAUSAL = {
    "vocabulary_size": VOCABULARY,
    "num_layers": 2,
    "num_query_heads": 2,
    "num_key_value_heads": 1,
    "hidden_dim": 8,
    "intermediate_dim": 12,
}
_VISION = {
    "image_shape": (SIDE, SIDE, 3),
    "patch_size": 8,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 8,
}


def images(rows=ROWS, seed=0):
    return np.random.default_rng(seed).uniform(size=(rows, SIDE, SIDE, 3)).astype("float32")


def texts(rows=ROWS, seed=0):
    """Returns texts of two to six tokens, which end with the highest id, and their padding mask."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, LENGTH + 1, rows)
    mask = np.arange(LENGTH) < lengths[:, None]
    token_ids = rng.integers(1, VOCABULARY - 1, (rows, LENGTH)) * mask
    token_ids[np.arange(rows), lengths - 1] = VOCABULARY - 1
    return {"token_ids": token_ids.astype("int32"), "padding_mask": mask.astype("int32")}


def _hub():
    import keras_hub

    return keras_hub.models


def bert(**kwargs):
    return _hub().BertBackbone(**_TEXT | {"max_sequence_length": LENGTH} | kwargs)


TEXT = {
    "bert": bert,
    "roberta": lambda: _hub().RobertaBackbone(**_TEXT, max_sequence_length=LENGTH),
    "distil_bert": lambda: _hub().DistilBertBackbone(**_TEXT, max_sequence_length=LENGTH),
    "gpt2": lambda: _hub().GPT2Backbone(**_TEXT, max_sequence_length=LENGTH),
    "llama": lambda: _hub().LlamaBackbone(**_CAUSAL),
    "clip_text": lambda: _hub().CLIPTextEncoder(
        **_TEXT, embedding_dim=8, max_sequence_length=LENGTH
    ),
    "siglip_text": lambda: _hub().SigLIPTextEncoder(
        **_TEXT, embedding_dim=8, max_sequence_length=LENGTH
    ),
}
IMAGE = {
    "vit": lambda: _hub().ViTBackbone(**_VISION, mlp_dim=12),
    "vit_without_class_token": lambda: _hub().ViTBackbone(
        **_VISION, mlp_dim=12, use_class_token=False
    ),
    "dinov2": lambda: _hub().DINOV2Backbone(**_VISION, intermediate_dim=12),
    "clip_vision": lambda: _hub().CLIPVisionEncoder(**_VISION, intermediate_dim=12),
    "vgg": lambda: _hub().VGGBackbone(
        stackwise_num_repeats=[1, 1], stackwise_num_filters=[4, 8], image_shape=(SIDE, SIDE, 3)
    ),
}


def image_text(name="CLIP", **kwargs):
    """Returns a `CLIPBackbone` or a `SigLIPBackbone`."""
    models = _hub()
    text = _TEXT | {"embedding_dim": 8, "max_sequence_length": LENGTH}
    vision = getattr(models, f"{name}VisionEncoder")(**_VISION, intermediate_dim=12)
    if name == "SigLIP":
        return models.SigLIPBackbone(
            vision, models.SigLIPTextEncoder(**text, projection_dim=8), **kwargs
        )
    return models.CLIPBackbone(vision, models.CLIPTextEncoder(**text), projection_dim=8, **kwargs)


def embeddings_of(backbone, x):
    """Returns the embeddings of images and texts that an image-text backbone computes itself."""
    embeddings = {
        "image": backbone.get_vision_embeddings(ops.convert_to_tensor(x["image"])),
        "text": backbone.get_text_embeddings(ops.convert_to_tensor(x["text"]["token_ids"])),
    }
    return {name: ops.convert_to_numpy(rows) for name, rows in embeddings.items()}
