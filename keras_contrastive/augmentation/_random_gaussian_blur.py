"""Random Gaussian blur of images."""

from typing import Any

import keras

from keras_contrastive._checks import fraction
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._base import draw_columns, number_pair, rescale, select_rows
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter
from keras_contrastive.augmentation._separable import apply_along_axes, blur_weights


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomGaussianBlur(ImageAugmenter):
    """Blurs each image with probability `rate` by a Gaussian of random width.

    The Gaussian is not truncated. At the border it is normalized over the pixels of the image, so
    that a constant image does not change. The blur is two batched matrix products.

    Unlike `keras.layers.RandomGaussianBlur`, each image has its own width and there is no kernel
    size. The layer draws the same on every backend and continues its draws after saving and
    loading. See `ImageAugmenter` for inputs and outputs.

    Args:
        sigma: `(low, high)`, at least 0.01. The standard deviation in pixels is uniform between
            them. SimCLR uses (0.1, 2.0) for images of 224 pixels.
        rate: Float in [0, 1], the probability that an image is blurred.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: `data_format`, and see `keras.layers.Layer`.

    Raises:
        TypeError: If `rate` is not a number or `sigma` is not a pair of numbers.
        ValueError: If `rate` is outside [0, 1] or `sigma` is out of range.

    Reference:
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), App. A.

    Example:

    >>> images = np.reshape([0.0, 0.0, 1.0, 0.0, 0.0], (1, 1, 5, 1))
    >>> views = RandomGaussianBlur(sigma=(0.6, 0.6), rate=1)(images, training=True)
    >>> [round(float(pixel), 2) for pixel in keras.ops.ravel(views)]
    [0.0, 0.17, 0.66, 0.17, 0.0]
    """

    def __init__(
        self,
        sigma: tuple[float, float] = (0.1, 2.0),
        rate: float = 0.5,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.sigma = number_pair("sigma", sigma, "standard deviations in pixels", 0.01)
        self.rate = fraction("rate", rate)

    def augment(self, images: Tensor, keys: Tensor) -> Tensor:
        sigma_draw, rate_draw = draw_columns(keys, 2)
        sigma = rescale(sigma_draw, *self.sigma)
        height, width = images.shape[1:3]
        rows = blur_weights(sigma, height)
        columns = rows if height == width else blur_weights(sigma, width)
        blurred = apply_along_axes(images, rows, columns)
        return select_rows(rate_draw <= self.rate, blurred, images)

    def get_config(self) -> Config:
        return {**super().get_config(), "sigma": self.sigma, "rate": self.rate}
