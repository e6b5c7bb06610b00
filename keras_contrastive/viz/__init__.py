"""Figures of embeddings, neighbors and training. Needs the extra `viz` (matplotlib, pillow)."""

from keras_contrastive.viz._embeddings import embeddings
from keras_contrastive.viz._neighbors import neighbors
from keras_contrastive.viz._projector import projector
from keras_contrastive.viz._training import training

__all__ = ["embeddings", "neighbors", "projector", "training"]


def __dir__() -> list[str]:
    return __all__
