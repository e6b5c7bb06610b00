"""LossLayers: layers of a loss that a trainer tracks."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_contrastive._typing import Layer


class LossLayers(keras.layers.Layer):
    """Tracks the layers that a loss owns, such as a learnable temperature or a queue.

    Keras locks the tracker of a layer once it is called. This layer is never called, so `compile`
    can replace the loss after the model is built.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tracked: list[Layer] = []
        self.built = True

    def replace(self, layers: Sequence[Layer]) -> None:
        """Tracks these layers instead of the previous ones."""
        self.tracked.clear()
        self.tracked.extend(layers)


def build_loss(trainer: Any, loss: Any) -> None:
    """Builds the layers of a loss for the views of a trainer.

    A queue without `dim` is built once the trainer has seen embeddings.
    """
    if loss.memory is not None and getattr(loss.memory, "dim", 0) is None:
        loss.memory.dim = trainer.embedding_dim
    loss.build(trainer.direction_weights(loss), trainer.num_compared_views)
