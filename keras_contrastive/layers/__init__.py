"""Layers that belong to contrastive training."""

from keras_contrastive.layers.embedding_queue import EmbeddingQueue as EmbeddingQueue
from keras_contrastive.layers.learnable_bias import LearnableBias as LearnableBias
from keras_contrastive.layers.learnable_temperature import LearnableTemperature as LearnableTemperature
