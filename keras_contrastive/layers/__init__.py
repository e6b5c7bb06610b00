"""Regularizers, learnable temperatures and biases, class vectors, queues, momentum teachers."""

from keras_contrastive.layers._brownian_bridge import BrownianBridge
from keras_contrastive.layers._class_proxies import ClassProxies
from keras_contrastive.layers._deep_feature_separation import DeepFeatureSeparation
from keras_contrastive.layers._embedding_queue import EmbeddingQueue
from keras_contrastive.layers._geometric_consistency import GeometricConsistency
from keras_contrastive.layers._item_temperature import ItemTemperature
from keras_contrastive.layers._learnable_bias import LearnableBias
from keras_contrastive.layers._learnable_temperature import LearnableTemperature
from keras_contrastive.layers._modality import Modality
from keras_contrastive.layers._momentum_teacher import MomentumTeacher
from keras_contrastive.layers._view_regularizer import ViewRegularizer

__all__ = [
    "BrownianBridge",
    "ClassProxies",
    "DeepFeatureSeparation",
    "EmbeddingQueue",
    "GeometricConsistency",
    "ItemTemperature",
    "LearnableBias",
    "LearnableTemperature",
    "Modality",
    "MomentumTeacher",
    "ViewRegularizer",
]


def __dir__() -> list[str]:
    return __all__
