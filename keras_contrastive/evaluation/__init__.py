"""Evaluation over a whole corpus, as functions over arrays and as callbacks."""

from keras_contrastive.evaluation._knn_probe import KNNProbe, knn_probe
from keras_contrastive.evaluation._linear_probe import LinearProbe, linear_probe
from keras_contrastive.evaluation._retrieval import RetrievalEvaluation, retrieval
from keras_contrastive.evaluation._softmax_regression import SoftmaxRegression, softmax_regression
from keras_contrastive.evaluation._zero_shot import ZeroShotEvaluation, zero_shot

__all__ = [
    "knn_probe",
    "KNNProbe",
    "linear_probe",
    "LinearProbe",
    "retrieval",
    "RetrievalEvaluation",
    "softmax_regression",
    "SoftmaxRegression",
    "zero_shot",
    "ZeroShotEvaluation",
]


def __dir__() -> list[str]:
    return __all__
