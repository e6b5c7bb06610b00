"""Take the color out of images."""

import keras
from keras import ops

from keras_contrastive._draws import uniform
from keras_contrastive.augmentation._base import as_rate, select_rows
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter, check_three_channels

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, as in Pillow


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomGrayscale(ImageAugmenter):
    """Replaces each image by its luma, 0.299 R + 0.587 G + 0.114 B, in all three channels, with probability `rate`.

    Unlike `keras.layers.RandomGrayscale`, its draws are the same on every backend and go on after a model was saved
    and loaded. See `ImageAugmenter` for what it takes and returns.

    Args:
        rate: In `[0, 1]`, probability that an image turns gray.
        seed: Integer or `None`; see `ImageAugmenter`.
        **kwargs: `data_format`, and see `keras.layers.Layer`.

    Raises:
        ValueError: `rate` outside `[0, 1]`, images that have not 3 channels.

    Reference:
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), App. A.

    Example:

    >>> green = np.reshape([0.0, 200.0, 0.0], (1, 1, 1, 3))
    >>> views = RandomGrayscale(rate=1)(green, training=True)
    >>> [round(float(channel), 2) for channel in keras.ops.ravel(views)]
    [117.4, 117.4, 117.4]
    """

    def __init__(self, rate=0.2, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = as_rate("rate", rate)

    def check_channels(self, channels):
        check_three_channels(type(self).__name__, channels)

    def augment(self, images, keys):
        gray = ops.expand_dims(luma(*(images[..., channel] for channel in range(3))), axis=-1)
        gray = ops.broadcast_to(gray, ops.shape(images))
        return select_rows(uniform(keys, 1)[:, 0] <= self.rate, gray, images)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


def luma(red, green, blue):
    """Brightness as the eye weighs the colors."""
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
