"""The fusion model: towers that yield tokens, an encoder that reads both, and how the whole is trained."""

from keras_contrastive.fusion.block import FusionBlock as FusionBlock
from keras_contrastive.fusion.block import gelu_tanh as gelu_tanh
from keras_contrastive.fusion.fusion_encoder import FusionEncoder as FusionEncoder
from keras_contrastive.fusion.fusion_trainer import FusionTrainer as FusionTrainer
from keras_contrastive.fusion.load_bert import load_bert as load_bert
from keras_contrastive.fusion.masked_language import MaskedLanguage as MaskedLanguage
from keras_contrastive.fusion.matching import ImageTextMatching as ImageTextMatching
from keras_contrastive.fusion.momentum import MomentumWeights as MomentumWeights
from keras_contrastive.fusion.patch_tower import PatchTower as PatchTower
from keras_contrastive.fusion.tasks.classifier import FusionClassifier as FusionClassifier
from keras_contrastive.fusion.tasks.decoder import AnswerDecoder as AnswerDecoder
from keras_contrastive.fusion.tasks.generator import AnswerAccuracy as AnswerAccuracy
from keras_contrastive.fusion.tasks.generator import AnswerCrossentropy as AnswerCrossentropy
from keras_contrastive.fusion.tasks.generator import AnswerGenerator as AnswerGenerator
from keras_contrastive.fusion.text_tower import TextTower as TextTower
from keras_contrastive.fusion.token_corruption import TokenCorruption as TokenCorruption
