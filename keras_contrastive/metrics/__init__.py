"""Metrics of a batch or of a pass over the data, for `compile(metrics=...)`."""

from keras_contrastive.metrics._alignment import Alignment
from keras_contrastive.metrics._answer_accuracy import AnswerAccuracy
from keras_contrastive.metrics._effective_negatives import EffectiveNegatives
from keras_contrastive.metrics._effective_rank import EffectiveRank
from keras_contrastive.metrics._embedding_std import EmbeddingStd
from keras_contrastive.metrics._hardest_negative import HardestNegative
from keras_contrastive.metrics._modality_gap import ModalityGap
from keras_contrastive.metrics._positive_similarity import PositiveSimilarity
from keras_contrastive.metrics._recall_at_k import RecallAtK
from keras_contrastive.metrics._uniformity import Uniformity
from keras_contrastive.metrics._view_metric import ViewMetric

__all__ = [
    "Alignment",
    "AnswerAccuracy",
    "EffectiveNegatives",
    "EffectiveRank",
    "EmbeddingStd",
    "HardestNegative",
    "ModalityGap",
    "PositiveSimilarity",
    "RecallAtK",
    "Uniformity",
    "ViewMetric",
]


def __dir__() -> list[str]:
    return __all__
