"""The model that is trained by contrast."""

from keras_contrastive.training.contrastive_trainer import ContrastiveTrainer as ContrastiveTrainer
