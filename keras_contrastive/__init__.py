"""Contrastive representation learning in Keras 3, on TensorFlow, JAX and PyTorch."""

from keras_contrastive import (
    augmentation,
    config,
    datasets,
    distribution,
    encoders,
    evaluation,
    extend,
    fusion,
    layers,
    losses,
    metrics,
    samplers,
    trainers,
    viz,
)
from keras_contrastive.losses import GammaContrastive
from keras_contrastive.trainers import ContrastiveTrainer

__version__ = "0.2.0"

__all__ = [
    "ContrastiveTrainer",
    "GammaContrastive",
    "augmentation",
    "config",
    "datasets",
    "distribution",
    "encoders",
    "evaluation",
    "extend",
    "fusion",
    "layers",
    "losses",
    "metrics",
    "samplers",
    "trainers",
    "viz",
]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
