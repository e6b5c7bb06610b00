"""Measures of a batch, for `compile(metrics=...)`."""

from keras_contrastive.metrics.recall_at_k import RecallAtK as RecallAtK
