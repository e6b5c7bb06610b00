"""The towers of the training step: small transformers of images and of texts."""

import dataclasses

import keras

import keras_contrastive as kc


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the data, and of the towers (ViT-S, with patches of 4 pixels of small images)."""

    batch: int = 2048
    steps: int = 8
    image: tuple = (32, 32, 3)
    patch: int = 4
    tokens: int = 32
    vocabulary: int = 8192
    dim: int = 384
    layers: int = 6
    heads: int = 6
    output: int = 256

    @classmethod
    def quick(cls):
        """Returns sizes for a test on a CPU."""
        return cls(16, 2, (8, 8, 3), 4, 6, 30, 16, 1, 2, 8)


def towers(sizes):
    """Returns the towers, Keras models, by modality."""
    transformer = {"dim": sizes.dim, "num_layers": sizes.layers, "num_heads": sizes.heads}
    image, text = keras.Input(sizes.image), keras.Input((sizes.tokens,), dtype="int32")
    patches = kc.encoders.PatchTower(sizes.patch, **transformer)(image)
    words = kc.encoders.TextTower(sizes.vocabulary, sizes.tokens, **transformer)(text)
    return {
        "image": keras.Model(image, keras.layers.Dense(sizes.output)(patches[:, 0])),
        "text": keras.Model(text, keras.layers.Dense(sizes.output)(words[:, 0])),
    }
