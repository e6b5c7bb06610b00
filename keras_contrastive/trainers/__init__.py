"""Keras models that train encoders with a contrastive loss."""

from keras_contrastive.trainers._contrastive_trainer import ContrastiveTrainer

__all__ = [
    "ContrastiveTrainer",
]


def __dir__() -> list[str]:
    return __all__
