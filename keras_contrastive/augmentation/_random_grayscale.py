"""Random conversion of images to gray."""

from typing import Any

import keras
from keras import ops

from keras_contrastive._checks import fraction
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._base import draw_columns, select_rows
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter, check_three_channels

# Weights of red, green and blue: ITU-R BT.601, as in Pillow.
LUMA = (0.299, 0.587, 0.114)


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomGrayscale(ImageAugmenter):
    """Converts each image to gray with probability `factor`.

    All three channels of a gray image are its luma, 0.299 R + 0.587 G + 0.114 B. Unlike
    `keras.layers.RandomGrayscale`, the layer draws the same on every backend and continues its
    draws after saving and loading. See `ImageAugmenter` for inputs and outputs.

    Args:
        factor: Float in [0, 1], the probability that an image becomes gray.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: `data_format`, and see `keras.layers.Layer`.

    Raises:
        ValueError: If `factor` is outside [0, 1], or if images do not have 3 channels.

    Reference:
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), App. A.

    Example:

    >>> green = np.reshape([0.0, 200.0, 0.0], (1, 1, 1, 3))
    >>> views = RandomGrayscale(factor=1)(green, training=True)
    >>> [round(float(channel), 2) for channel in keras.ops.ravel(views)]
    [117.4, 117.4, 117.4]
    """

    def __init__(self, factor: float = 0.2, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.factor = fraction("factor", factor)

    def check_channels(self, channels: int | None) -> None:
        check_three_channels(type(self).__name__, channels)

    def augment(self, images: Tensor, keys: Tensor) -> Tensor:
        (factor_draw,) = draw_columns(keys, 1)
        gray = ops.expand_dims(luma(*(images[..., channel] for channel in range(3))), axis=-1)
        gray = ops.broadcast_to(gray, ops.shape(images))
        return select_rows(factor_draw <= self.factor, gray, images)

    def get_config(self) -> Config:
        return {**super().get_config(), "factor": self.factor}


def luma(red: Tensor, green: Tensor, blue: Tensor) -> Tensor:
    """Returns the brightness of colors as perceived by the human eye."""
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
