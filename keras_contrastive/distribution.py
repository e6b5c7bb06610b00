"""Support for training loops of several PyTorch processes."""

from keras_contrastive._replicas import across_processes

__all__ = ["across_processes"]


def __dir__() -> list[str]:
    return __all__
