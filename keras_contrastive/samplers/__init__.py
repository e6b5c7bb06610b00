"""Batches that a loss needs."""

from keras_contrastive.samplers._class_balanced import ClassBalanced

__all__ = ["ClassBalanced"]


def __dir__() -> list[str]:
    return __all__
