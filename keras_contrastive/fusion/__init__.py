"""Models that read image and text tokens together: encoder, trainer and task models (experimental)."""

from keras_contrastive.fusion._classifier import FusionClassifier
from keras_contrastive.fusion._decoder import AnswerDecoder
from keras_contrastive.fusion._fusion_encoder import FusionEncoder
from keras_contrastive.fusion._fusion_trainer import FusionTrainer
from keras_contrastive.fusion._generator import AnswerAccuracy, AnswerCrossentropy, AnswerGenerator
from keras_contrastive.fusion._load_bert import load_bert
from keras_contrastive.fusion._masked_language import MaskedLanguage
from keras_contrastive.fusion._matching import ImageTextMatching

__all__ = [
    "AnswerAccuracy",
    "AnswerCrossentropy",
    "AnswerDecoder",
    "AnswerGenerator",
    "FusionClassifier",
    "FusionEncoder",
    "FusionTrainer",
    "ImageTextMatching",
    "load_bert",
    "MaskedLanguage",
]


def __dir__() -> list[str]:
    return __all__
