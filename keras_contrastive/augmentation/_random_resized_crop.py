"""Cut a random box out of each image and stretch it."""

import math

import keras
import numpy as np
from keras import ops

from keras_contrastive._draws import uniform
from keras_contrastive.augmentation._base import as_range, between
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter
from keras_contrastive.augmentation._separable import along_axes, resampling


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomResizedCrop(ImageAugmenter):
    """Cuts a box of random area, shape and place out of each image, and resizes it.

    The strongest single augmentation of contrastive learning: two crops of an image show different parts at different
    scales. The share of the area is uniform in `area`. The aspect ratio is log-uniform in `aspect_ratio`, among the
    ratios with which a box of that area fits into the image: torchvision draws again, up to ten times, where a box
    does not fit; here no area is favoured. If none fits, the nearest one that does is taken. The place is uniform, in
    fractions of a pixel.

    Resizing is bilinear, antialiased when shrinking, as two batched matrix products; pixels beside the box but
    within the image count in the filter at its edge, as in Pillow's `resize(box=...)`. Outside training the whole
    image is resized to `size`.

    Keras has `keras.layers.RandomCrop`, which cuts without resizing, and `keras.layers.RandomZoom`. See
    `ImageAugmenter` for what this layer takes and returns.

    Args:
        size: `None` for the size of the images, a positive int for a square, or `(height, width)` in pixels.
        area: `(low, high)` in `(0, 1]`, the share of the image's area that the box covers.
        aspect_ratio: `(low, high)`, positive, width over height of the box in pixels.
        seed: Integer or `None`; see `ImageAugmenter`.
        **kwargs: `data_format`, and see `keras.layers.Layer`.

    Raises:
        TypeError, ValueError: A `size`, `area` or `aspect_ratio` that is not as above.

    Reference:
        - [Szegedy et al., 2015](https://arxiv.org/abs/1409.4842), Sec. 6: crops of random area and ratio.
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), App. A.

    Example:

    >>> images = np.random.default_rng(0).uniform(size=(2, 32, 48, 3))
    >>> tuple(RandomResizedCrop(size=24)(images, training=True).shape)
    (2, 24, 24, 3)
    """

    def __init__(
        self, size=None, area=(0.2, 1.0), aspect_ratio=(3 / 4, 4 / 3), seed=None, **kwargs
    ):
        super().__init__(seed=seed, **kwargs)
        self.size = as_size(size)
        self.area = as_range("area", area, "shares of the image's area", 0, 1)
        self.aspect_ratio = as_range("aspect_ratio", aspect_ratio, "width over height", 0)
        for name, pair in (("area", self.area), ("aspect_ratio", self.aspect_ratio)):
            if pair[0] == 0:
                raise ValueError(
                    f"`{name}` must be positive: a box needs an extent. Received: {name}={pair}."
                )

    def augment(self, images, keys):
        top, left, height, width = self.draw_boxes(keys, *images.shape[1:3])
        return self._resize(images, top, left, height, width)

    def leave(self, images):
        if self.size in (None, tuple(images.shape[1:3])):
            return images
        zeros, ones = np.zeros(1, "float32"), np.ones(1, "float32")
        whole = (zeros, zeros, ones * images.shape[1], ones * images.shape[2])
        return self._resize(images, *map(ops.convert_to_tensor, whole))

    def draw_boxes(self, keys, height, width):
        """Draw one box for each key.

        Args:
            keys: int32 `(batch,)`.
            height: Height of the images.
            width: Width of the images.

        Returns:
            Top, left, height and width of the boxes, in pixels, `(batch,)` each.
        """
        draws = uniform(keys, 4)
        share = between(draws[:, 0], *self.area)
        # A box of this share fits if the ratio, relative to that of the image, is in [share, 1 / share].
        loosest = -ops.log(share)
        low, high = (
            self._nearest(math.log(r * height / width), loosest) for r in self.aspect_ratio
        )
        ratio = ops.exp(between(draws[:, 1], low, high))
        box_height = height * ops.minimum(ops.sqrt(share / ratio), 1.0)
        box_width = width * ops.minimum(ops.sqrt(share * ratio), 1.0)
        return (
            draws[:, 2] * (height - box_height),
            draws[:, 3] * (width - box_width),
            box_height,
            box_width,
        )

    @staticmethod
    def _nearest(log_ratio, loosest):
        return ops.maximum(ops.minimum(log_ratio, loosest), -loosest)

    def _resize(self, images, top, left, height, width):
        new_height, new_width = self.size or images.shape[1:3]
        rows = resampling(top, height, images.shape[1], new_height)
        return along_axes(images, rows, resampling(left, width, images.shape[2], new_width))

    def get_config(self):
        return {
            **super().get_config(),
            "size": self.size,
            "area": self.area,
            "aspect_ratio": self.aspect_ratio,
        }


def as_size(size):
    """The size as `None` or a pair of `int`."""
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if any(isinstance(side, bool) or not isinstance(side, (int, np.integer)) for side in pair):
        raise TypeError(
            f"`size` must be `None`, an integer, or a pair (height, width). Received: size={size!r}."
        )
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(
            f"`size` must be one positive number of pixels, or two. Received: size={size!r}."
        )
    return int(pair[0]), int(pair[1])
