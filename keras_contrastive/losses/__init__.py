"""Contrastive losses for any Keras model."""

from keras_contrastive.losses._arc_face import ArcFace
from keras_contrastive.losses._barlow_twins import BarlowTwins
from keras_contrastive.losses._base import ContrastiveLoss
from keras_contrastive.losses._circle import Circle
from keras_contrastive.losses._cos_face import CosFace
from keras_contrastive.losses._decoupled_contrastive import DecoupledContrastive
from keras_contrastive.losses._gamma_contrastive import GammaContrastive
from keras_contrastive.losses._global_contrastive import GlobalContrastive
from keras_contrastive.losses._info_nce import InfoNCE
from keras_contrastive.losses._matryoshka import Matryoshka
from keras_contrastive.losses._multi_similarity import MultiSimilarity
from keras_contrastive.losses._negative_cosine import NegativeCosine
from keras_contrastive.losses._normalized_softmax import NormalizedSoftmax
from keras_contrastive.losses._nt_xent import NTXent
from keras_contrastive.losses._sigmoid_contrastive import SigmoidContrastive
from keras_contrastive.losses._sup_con import SupCon
from keras_contrastive.losses._triplet import Triplet
from keras_contrastive.losses._vicreg import VICReg

__all__ = [
    "ArcFace",
    "BarlowTwins",
    "Circle",
    "ContrastiveLoss",
    "CosFace",
    "DecoupledContrastive",
    "GammaContrastive",
    "GlobalContrastive",
    "InfoNCE",
    "Matryoshka",
    "MultiSimilarity",
    "NTXent",
    "NegativeCosine",
    "NormalizedSoftmax",
    "SigmoidContrastive",
    "SupCon",
    "Triplet",
    "VICReg",
]


def __dir__() -> list[str]:
    return __all__
