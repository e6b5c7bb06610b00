"""What is minimised."""

from keras_contrastive.losses.base import ContrastiveLoss as ContrastiveLoss
from keras_contrastive.losses.gamma_contrastive import GammaContrastive as GammaContrastive
from keras_contrastive.losses.info_nce import InfoNCE as InfoNCE
