"""PooledTower: a tower of tokens and its pooling as one layer."""

from typing import Any

import keras

from keras_contrastive._keras import serialize
from keras_contrastive._tokens import POOLINGS, as_text, check_tokens
from keras_contrastive._typing import Config, Layer, Structure, Tensor


@keras.saving.register_keras_serializable(package="keras_contrastive")
class PooledTower(keras.layers.Layer):
    """Pools the tokens of a tower, as `FusionTrainer` does.

    Args:
        tower: Layer that returns tokens.
        modality: `"image"` or `"text"`.
        pooling: A key of `POOLINGS`.
        padding_id: Integer, the padding of texts.
        **kwargs: See `keras.layers.Layer`.
    """

    def __init__(
        self, tower: Layer, modality: str, pooling: str, padding_id: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.tower = tower
        self.modality = modality
        self.pooling = pooling
        self.padding_id = padding_id

    @property
    def vocabulary_size(self) -> int | None:
        """The size of the vocabulary of the tower, or `None`."""
        return getattr(self.tower, "vocabulary_size", None)

    def call(self, inputs: Structure, training: bool | None = None) -> Tensor:
        tokens = self.tower(inputs, training=training)
        check_tokens(self.modality, tokens, grid=self.modality == "image")
        return pool_tower(tokens, inputs, self.modality, self.pooling, self.padding_id)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "tower": serialize(self.tower),
            "modality": self.modality,
            "pooling": self.pooling,
            "padding_id": self.padding_id,
        }

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: dict[str, Any] | None = None
    ) -> "PooledTower":
        tower = keras.saving.deserialize_keras_object(
            config["tower"], custom_objects=custom_objects
        )
        return cls(**{**config, "tower": tower})


def pool_tower(
    tokens: Tensor, inputs: Structure, modality: str, pooling: str, padding_id: int
) -> Tensor:
    """Pools the tokens of a tower, without the padding of texts. See `PooledTower`."""
    mask = as_text(inputs, padding_id)[1] if modality == "text" else None
    return POOLINGS[pooling](tokens, mask)


def pooling_of(pooling: str | dict[str, str], modality: str) -> str:
    """Returns the pooling of a modality."""
    return pooling.get(modality, "mean") if isinstance(pooling, dict) else pooling
