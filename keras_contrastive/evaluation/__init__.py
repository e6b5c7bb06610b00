"""Measures over a whole corpus, as functions over arrays and as callbacks."""

from keras_contrastive.evaluation.retrieval import RetrievalEvaluation as RetrievalEvaluation
from keras_contrastive.evaluation.retrieval import retrieval as retrieval
