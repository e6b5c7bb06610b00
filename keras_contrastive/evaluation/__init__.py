"""Measures over a whole corpus, as functions over arrays and as callbacks."""

from keras_contrastive.evaluation.knn_probe import KNNProbe as KNNProbe
from keras_contrastive.evaluation.knn_probe import knn_probe as knn_probe
from keras_contrastive.evaluation.linear_probe import LinearProbe as LinearProbe
from keras_contrastive.evaluation.linear_probe import linear_probe as linear_probe
from keras_contrastive.evaluation.retrieval import RetrievalEvaluation as RetrievalEvaluation
from keras_contrastive.evaluation.retrieval import retrieval as retrieval
from keras_contrastive.evaluation.softmax_regression import SoftmaxRegression as SoftmaxRegression
from keras_contrastive.evaluation.softmax_regression import softmax_regression as softmax_regression
from keras_contrastive.evaluation.zero_shot import ZeroShotEvaluation as ZeroShotEvaluation
from keras_contrastive.evaluation.zero_shot import zero_shot as zero_shot
