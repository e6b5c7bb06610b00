"""Blur images."""

import keras

from keras_contrastive._draws import uniform
from keras_contrastive.augmentation._base import as_range, as_rate, between, select_rows
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter
from keras_contrastive.augmentation._separable import along_axes, blurring


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomGaussianBlur(ImageAugmenter):
    """Blurs each image with probability `rate`, by a Gaussian of random width.

    The Gaussian is not cut off, and at the border it is renormalised over the pixels within the image: nothing is
    invented beyond it, a constant image stays as it is. Blurring is two batched matrix products.

    Unlike `keras.layers.RandomGaussianBlur`, each image has a width of its own, there is no kernel size to choose, and
    its draws are the same on every backend and go on after a model was saved and loaded. See `ImageAugmenter` for what
    it takes and returns.

    Args:
        sigma: `(low, high)`, at least 0.01, the standard deviation in pixels, drawn uniformly. SimCLR's is (0.1, 2.0)
            for images of 224 pixels.
        rate: In `[0, 1]`, probability that an image is blurred.
        seed: Integer or `None`; see `ImageAugmenter`.
        **kwargs: `data_format`, and see `keras.layers.Layer`.

    Raises:
        TypeError, ValueError: `rate` outside `[0, 1]`, `sigma` that is not as above.

    Reference:
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), App. A.

    Example:

    >>> images = np.reshape([0.0, 0.0, 1.0, 0.0, 0.0], (1, 1, 5, 1))
    >>> views = RandomGaussianBlur(sigma=(0.6, 0.6), rate=1)(images, training=True)
    >>> [round(float(pixel), 2) for pixel in keras.ops.ravel(views)]
    [0.0, 0.17, 0.66, 0.17, 0.0]
    """

    def __init__(self, sigma=(0.1, 2.0), rate=0.5, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.sigma = as_range("sigma", sigma, "standard deviations in pixels", 0.01)
        self.rate = as_rate("rate", rate)

    def augment(self, images, keys):
        draws = uniform(keys, 2)
        sigma = between(draws[:, 0], *self.sigma)
        height, width = images.shape[1:3]
        rows = blurring(sigma, height)
        blurred = along_axes(images, rows, rows if height == width else blurring(sigma, width))
        return select_rows(draws[:, 1] <= self.rate, blurred, images)

    def get_config(self):
        return {**super().get_config(), "sigma": self.sigma, "rate": self.rate}
