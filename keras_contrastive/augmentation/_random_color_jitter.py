"""Change brightness, contrast, saturation and hue."""

import math

import keras
import numpy as np
from keras import ops

from keras_contrastive._draws import uniform
from keras_contrastive.augmentation._base import as_range, as_rate, between, select_rows
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter, check_three_channels
from keras_contrastive.augmentation._random_grayscale import LUMA, luma

# NTSC's color space: Y is the luma; a hue is an angle in the plane of I and Q.
_TO_YIQ = np.array([LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
# Matrices on RGB, as Python numbers: an image is its gray and its color, and hue turns the color.
_GREY = (np.ones((3, 1)) @ _TO_YIQ[:1]).tolist()
_COLOR = (np.eye(3) - _GREY).tolist()
_QUARTER_TURN = (np.linalg.inv(_TO_YIQ) @ [[0, 0, 0], [0, 0, -1], [0, 1, 0]] @ _TO_YIQ).tolist()


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomColorJitter(ImageAugmenter):
    """Changes brightness, contrast, saturation and hue of each image, in this order, with probability `rate`.

    Without it, two crops of an image are recognized by their histograms alone (Chen et al., Sec. 3.1). The defaults
    are SimCLR's at strength 1; its order is random.

    * Brightness: the image is multiplied by a factor.
    * Contrast: its distance from the mean luma of the image is.
    * Saturation: its distance from its own luma is.
    * Hue: colors are rotated around the gray axis, in the YIQ space, so that luma stays; torchvision and Keras
      shift the hue of HSV, which is not linear. One turn is the identity.

    After brightness, after contrast, and after saturation and hue together, values are clipped into `value_range`.

    Unlike `keras.layers.RandomColorJitter`, its draws are the same on every backend and go on after a model was saved
    and loaded; and colors need no way through HSV. See `ImageAugmenter` for what it takes
    and returns.

    Args:
        brightness: A float `x`, for factors uniform in `[max(0, 1 - x), 1 + x]`, or the pair `(low, high)`.
        contrast: The same.
        saturation: The same.
        hue: A float `x` in `[0, 0.5]`, for rotations uniform in `[-x, x]` turns, or the pair `(low, high)`.
        rate: In `[0, 1]`, probability that an image is changed.
        value_range: `(low, high)`, the values of black and white.
        seed: Integer or `None`; see `ImageAugmenter`.
        **kwargs: `data_format`, and see `keras.layers.Layer`.

    Raises:
        TypeError, ValueError: Arguments that are not as above; images that have not 3 channels.

    Reference:
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), App. A.

    Example:

    >>> images = np.full((1, 1, 1, 3), 100.0)
    >>> layer = RandomColorJitter(brightness=(1.5, 1.5), contrast=0, saturation=0, hue=0, rate=1)
    >>> keras.ops.convert_to_numpy(layer(images, training=True)).round(3).ravel().tolist()
    [150.0, 150.0, 150.0]
    """

    def __init__(
        self,
        brightness=0.8,
        contrast=0.8,
        saturation=0.8,
        hue=0.2,
        rate=0.8,
        value_range=(0, 255),
        seed=None,
        **kwargs,
    ):
        super().__init__(seed=seed, **kwargs)
        self.brightness = _as_factors("brightness", brightness)
        self.contrast = _as_factors("contrast", contrast)
        self.saturation = _as_factors("saturation", saturation)
        self.hue = _as_turns(hue)
        self.rate = as_rate("rate", rate)
        self.value_range = as_range("value_range", value_range, "the values of black and white")
        if self.value_range[0] == self.value_range[1]:
            raise ValueError(
                f"`value_range` must not be empty. Received: value_range={value_range!r}."
            )

    def check_channels(self, channels):
        check_three_channels(type(self).__name__, channels)

    def augment(self, images, keys):
        draws = uniform(keys, 5)
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        brightness, contrast, saturation, hue = (
            between(draws[:, i : i + 1], *r) for i, r in enumerate(ranges)
        )
        black = self.value_range[0]
        rgb = self._clip(
            (plane - black) * brightness for plane in _planes(images)
        )  # 3 times (batch, pixels)
        mean = ops.mean(luma(*rgb), axis=1, keepdims=True)
        rgb = self._clip(mean + contrast * (plane - mean) for plane in rgb)
        rgb = self._clip(_turn_colors(rgb, saturation, hue))
        changed = ops.stack([plane + black for plane in rgb], axis=-1)  # (batch, pixels, 3)
        return select_rows(draws[:, 4] <= self.rate, changed, images)

    def _clip(self, planes):
        return [ops.clip(plane, 0.0, self.value_range[1] - self.value_range[0]) for plane in planes]

    def get_config(self):
        names = ("brightness", "contrast", "saturation", "hue", "rate", "value_range")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _planes(images):
    # Three numbers in a row are too few for most devices to be fast: colors are computed plane by plane.
    height, width, channels = images.shape[1:]
    return [ops.reshape(images[..., channel], (-1, height * width)) for channel in range(channels)]


def _turn_colors(rgb, saturation, hue):
    angle = 2 * math.pi * hue
    kept, turned = saturation * ops.cos(angle), saturation * ops.sin(angle)  # (batch, 1)
    matrix = [
        [_GREY[i][j] + kept * _COLOR[i][j] + turned * _QUARTER_TURN[i][j] for j in range(3)]
        for i in range(3)
    ]
    return [sum(weight * plane for weight, plane in zip(row, rgb, strict=True)) for row in matrix]


def _as_factors(name, value):
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not value >= 0:
            raise ValueError(f"`{name}` must not be negative. Received: {name}={value}.")
        value = (max(0.0, 1.0 - value), 1.0 + value)
    return as_range(name, value, "factors, or one number", 0)


def _as_turns(hue):
    if isinstance(hue, (int, float)) and not isinstance(hue, bool):
        if not 0 <= hue <= 0.5:
            raise ValueError(
                f"`hue` must be in [0, 0.5], in turns, where 0.5 is every hue. Received: hue={hue}."
            )
        hue = (-hue, hue)
    return as_range("hue", hue, "in turns, or one number", -1, 1)
