"""The fusion model: towers that yield tokens, an encoder that reads both, and how the whole is trained."""

from keras_contrastive.fusion.block import FusionBlock as FusionBlock
from keras_contrastive.fusion.block import gelu_tanh as gelu_tanh
from keras_contrastive.fusion.fusion_encoder import FusionEncoder as FusionEncoder
