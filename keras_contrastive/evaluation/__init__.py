"""Evaluation over a whole corpus, as functions of arrays and as callbacks."""

from keras_contrastive.evaluation._callbacks import CorpusEvaluation
from keras_contrastive.evaluation._compare import compare
from keras_contrastive.evaluation._knn_probe import KNNProbe, knn_probe
from keras_contrastive.evaluation._linear_probe import LinearProbe, linear_probe
from keras_contrastive.evaluation._mine_hard_negatives import mine_hard_negatives
from keras_contrastive.evaluation._probe_evaluation import ProbeEvaluation
from keras_contrastive.evaluation._prompts import PROMPTS
from keras_contrastive.evaluation._retrieval import retrieval
from keras_contrastive.evaluation._retrieval_evaluation import RetrievalEvaluation
from keras_contrastive.evaluation._search import search
from keras_contrastive.evaluation._zero_shot import ZeroShotEvaluation, zero_shot

__all__ = [
    "PROMPTS",
    "CorpusEvaluation",
    "KNNProbe",
    "LinearProbe",
    "ProbeEvaluation",
    "RetrievalEvaluation",
    "ZeroShotEvaluation",
    "compare",
    "knn_probe",
    "linear_probe",
    "mine_hard_negatives",
    "retrieval",
    "search",
    "zero_shot",
]


def __dir__() -> list[str]:
    return __all__
