"""Layers that belong to contrastive training."""

from keras_contrastive.layers.learnable_temperature import LearnableTemperature as LearnableTemperature
