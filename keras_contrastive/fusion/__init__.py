"""Models that read images and text together: encoder, trainer, task models (experimental).

This subpackage is experimental. Names, arguments and saved files can change in any release. It has
no published weights, no results on public benchmarks, no beam search, and takes one image and one
text input. See `docs/guides/fusion.md`.
"""

from keras_contrastive.fusion._answer_crossentropy import AnswerCrossentropy
from keras_contrastive.fusion._classifier import FusionClassifier
from keras_contrastive.fusion._decoder import AnswerDecoder
from keras_contrastive.fusion._fusion_encoder import FusionEncoder
from keras_contrastive.fusion._fusion_trainer import FusionTrainer
from keras_contrastive.fusion._generator import AnswerGenerator
from keras_contrastive.fusion._load_bert import load_bert
from keras_contrastive.fusion._masked_language import MaskedLanguage
from keras_contrastive.fusion._matching import ImageTextMatching

__all__ = [
    "AnswerCrossentropy",
    "AnswerDecoder",
    "AnswerGenerator",
    "FusionClassifier",
    "FusionEncoder",
    "FusionTrainer",
    "ImageTextMatching",
    "MaskedLanguage",
    "load_bert",
]


def __dir__() -> list[str]:
    return __all__
