"""What is minimised."""

from keras_contrastive.losses.base import ContrastiveLoss as ContrastiveLoss
from keras_contrastive.losses.decoupled_contrastive import DecoupledContrastive as DecoupledContrastive
from keras_contrastive.losses.gamma_contrastive import GammaContrastive as GammaContrastive
from keras_contrastive.losses.global_contrastive import GlobalContrastive as GlobalContrastive
from keras_contrastive.losses.info_nce import InfoNCE as InfoNCE
from keras_contrastive.losses.nt_xent import NTXent as NTXent
from keras_contrastive.losses.sigmoid_contrastive import SigmoidContrastive as SigmoidContrastive
from keras_contrastive.losses.sup_con import SupCon as SupCon
