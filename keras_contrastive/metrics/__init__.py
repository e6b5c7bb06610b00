"""Measures of a batch or of a pass over the data, for `compile(metrics=...)`."""

from keras_contrastive.metrics.alignment import Alignment as Alignment
from keras_contrastive.metrics.effective_rank import EffectiveRank as EffectiveRank
from keras_contrastive.metrics.embedding_std import EmbeddingStd as EmbeddingStd
from keras_contrastive.metrics.modality_gap import ModalityGap as ModalityGap
from keras_contrastive.metrics.recall_at_k import RecallAtK as RecallAtK
from keras_contrastive.metrics.uniformity import Uniformity as Uniformity
