"""Contrastive representation learning in Keras 3, on TensorFlow, JAX and PyTorch."""

from keras_contrastive import augmentation as augmentation
from keras_contrastive import datasets as datasets
from keras_contrastive import distribution as distribution
from keras_contrastive import encoders as encoders
from keras_contrastive import evaluation as evaluation
from keras_contrastive import fusion as fusion
from keras_contrastive import layers as layers
from keras_contrastive import losses as losses
from keras_contrastive import metrics as metrics
from keras_contrastive import random as random
from keras_contrastive import similarity as similarity
from keras_contrastive import training as training
from keras_contrastive.losses import GammaContrastive as GammaContrastive
from keras_contrastive.training import ContrastiveTrainer as ContrastiveTrainer

__version__ = "0.1.0"
