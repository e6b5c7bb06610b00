"""One import path for authors of losses, regularizers, metrics, augmenters and evaluations."""

from keras_contrastive._draws import uniform
from keras_contrastive._engine import Batch, Candidates, Contrast, normalize
from keras_contrastive.augmentation import Augmenter, ImageAugmenter, TokenAugmenter
from keras_contrastive.evaluation import CorpusEvaluation
from keras_contrastive.layers import Modality, ViewRegularizer
from keras_contrastive.losses import ContrastiveLoss
from keras_contrastive.metrics import ViewMetric

__all__ = [
    "Augmenter",
    "Batch",
    "Candidates",
    "Contrast",
    "ContrastiveLoss",
    "CorpusEvaluation",
    "ImageAugmenter",
    "Modality",
    "TokenAugmenter",
    "ViewMetric",
    "ViewRegularizer",
    "normalize",
    "uniform",
]


def __dir__() -> list[str]:
    return __all__
