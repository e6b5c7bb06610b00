"""Random views of images and of token sequences."""

from keras_contrastive.augmentation._base import Augmenter
from keras_contrastive.augmentation._eda import EDA
from keras_contrastive.augmentation._eda_token_augmenter import EDATokenAugmenter
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter
from keras_contrastive.augmentation._random_color_jitter import RandomColorJitter
from keras_contrastive.augmentation._random_flip import RandomFlip
from keras_contrastive.augmentation._random_gaussian_blur import RandomGaussianBlur
from keras_contrastive.augmentation._random_grayscale import RandomGrayscale
from keras_contrastive.augmentation._random_resized_crop import RandomResizedCrop
from keras_contrastive.augmentation._random_token_deletion import RandomTokenDeletion
from keras_contrastive.augmentation._random_token_insertion import RandomTokenInsertion
from keras_contrastive.augmentation._random_token_masking import RandomTokenMasking
from keras_contrastive.augmentation._random_token_replacement import RandomTokenReplacement
from keras_contrastive.augmentation._random_token_swap import RandomTokenSwap
from keras_contrastive.augmentation._simclr_image_augmenter import SimCLRImageAugmenter
from keras_contrastive.augmentation._token_augmenter import TokenAugmenter
from keras_contrastive.augmentation._token_corruption import TokenCorruption

__all__ = [
    "EDA",
    "Augmenter",
    "EDATokenAugmenter",
    "ImageAugmenter",
    "RandomColorJitter",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomResizedCrop",
    "RandomTokenDeletion",
    "RandomTokenInsertion",
    "RandomTokenMasking",
    "RandomTokenReplacement",
    "RandomTokenSwap",
    "SimCLRImageAugmenter",
    "TokenAugmenter",
    "TokenCorruption",
]


def __dir__() -> list[str]:
    return __all__
