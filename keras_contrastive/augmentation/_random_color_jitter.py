"""Random brightness, contrast, saturation and hue."""

import math
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive._checks import fraction, is_number
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._base import draw_columns, number_pair, rescale, select_rows
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter, check_three_channels
from keras_contrastive.augmentation._random_grayscale import LUMA, luma

# NTSC's color space: Y is the luma. A hue is an angle in the plane of I and Q.
_TO_YIQ = np.array([LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
# Matrices on RGB, as Python numbers. An image is the sum of its gray and its color parts. A change
# of the hue rotates the color part.
_GRAY = (np.ones((3, 1)) @ _TO_YIQ[:1]).tolist()
_COLOR = (np.eye(3) - _GRAY).tolist()
_QUARTER_TURN = (np.linalg.inv(_TO_YIQ) @ [[0, 0, 0], [0, 0, -1], [0, 1, 0]] @ _TO_YIQ).tolist()

Factors = float | tuple[float, float]


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomColorJitter(ImageAugmenter):
    """Changes brightness, contrast, saturation and hue of each image with probability `rate`.

    Color jitter keeps an encoder from matching two crops of an image by their color histograms
    (Chen et al., Sec. 3.1). The changes are applied in this order. SimCLR's order is random.

    * Brightness multiplies the image by a factor.
    * Contrast multiplies the distance from the mean luma of the image.
    * Saturation multiplies the distance of each pixel from its own luma.
    * Hue rotates colors around the gray axis of the YIQ space, which keeps the luma. torchvision
      and Keras shift the hue of the HSV space, which is not linear. One turn is the identity.

    Values are clipped to `value_range` after brightness, after contrast, and after saturation and
    hue. The defaults are those of SimCLR at strength 1. Unlike `keras.layers.RandomColorJitter`,
    the layer draws the same on every backend, continues its draws after saving and loading, and
    does not convert to HSV. The arguments have Keras' names and torchvision's meaning: Keras adds
    its `brightness_factor`, and its `saturation_factor=0.5` changes nothing. See `ImageAugmenter`
    for inputs and outputs.

    Args:
        value_range: `(low, high)`, the values of black and white.
        brightness_factor: Float `x` for factors uniform in `[max(0, 1 - x), 1 + x]`, or a pair
            `(low, high)` of factors.
        contrast_factor: Like `brightness_factor`.
        saturation_factor: Like `brightness_factor`.
        hue_factor: Float `x` in [0, 0.5] for rotations uniform in `[-x, x]` turns, or a pair
            `(low, high)` of turns.
        rate: Float in [0, 1], the probability that an image is changed.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: `data_format`, and see `keras.layers.Layer`.

    Raises:
        TypeError: If an argument is not a number or a pair of numbers.
        ValueError: If an argument is out of range, or if images do not have 3 channels.

    Reference:
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), App. A.

    Example:

    >>> images = np.full((1, 1, 1, 3), 100.0)
    >>> layer = RandomColorJitter((0, 255), (1.5, 1.5), 0, 0, 0, rate=1)
    >>> keras.ops.convert_to_numpy(layer(images, training=True)).round(3).ravel().tolist()
    [150.0, 150.0, 150.0]
    """

    def __init__(
        self,
        value_range: tuple[float, float] = (0, 255),
        brightness_factor: Factors = 0.8,
        contrast_factor: Factors = 0.8,
        saturation_factor: Factors = 0.8,
        hue_factor: Factors = 0.2,
        rate: float = 0.8,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.brightness_factor = _as_factors("brightness_factor", brightness_factor)
        self.contrast_factor = _as_factors("contrast_factor", contrast_factor)
        self.saturation_factor = _as_factors("saturation_factor", saturation_factor)
        self.hue_factor = _as_turns(hue_factor)
        self.rate = fraction("rate", rate)
        self.value_range = number_pair("value_range", value_range, "values of black and white")
        if self.value_range[0] == self.value_range[1]:
            raise ValueError(
                "`value_range` must be the different values of black and white. "
                f"Received: value_range={value_range!r}."
            )

    @property
    def clipped_to(self) -> tuple[float, float]:
        return self.value_range

    def check_channels(self, channels: int | None) -> None:
        check_three_channels(type(self).__name__, channels)

    def augment(self, images: Tensor, keys: Tensor) -> Tensor:
        brightness_draw, contrast_draw, saturation_draw, hue_draw, rate_draw = draw_columns(keys, 5)
        brightness = rescale(brightness_draw, *self.brightness_factor)
        contrast = rescale(contrast_draw, *self.contrast_factor)
        saturation = rescale(saturation_draw, *self.saturation_factor)
        hue = rescale(hue_draw, *self.hue_factor)
        black = self.value_range[0]
        rgb = self._clip((plane - black) * brightness for plane in _color_planes(images))
        mean = ops.mean(luma(*rgb), axis=1, keepdims=True)
        rgb = self._clip(mean + contrast * (plane - mean) for plane in rgb)
        rgb = self._clip(_rotate_colors(rgb, saturation, hue))
        changed = ops.stack([plane + black for plane in rgb], axis=-1)  # (batch, pixels, 3)
        return select_rows(rate_draw <= self.rate, changed, images)

    def _clip(self, planes: Iterable[Tensor]) -> list[Tensor]:
        return [ops.clip(plane, 0.0, self.value_range[1] - self.value_range[0]) for plane in planes]

    def get_config(self) -> Config:
        factors = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")
        names = ("value_range", *factors, "rate")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _color_planes(images: Tensor) -> list[Tensor]:  # 3 times (batch, pixels)
    # Most devices are slow on a last axis of size 3. So each color is a separate tensor.
    height, width, channels = images.shape[1:]
    return [ops.reshape(images[..., channel], (-1, height * width)) for channel in range(channels)]


def _rotate_colors(rgb: list[Tensor], saturation: Tensor, hue: Tensor) -> list[Tensor]:
    angle = 2 * math.pi * hue
    kept, turned = saturation * ops.cos(angle), saturation * ops.sin(angle)  # (batch, 1)
    matrix = [
        [_GRAY[i][j] + kept * _COLOR[i][j] + turned * _QUARTER_TURN[i][j] for j in range(3)]
        for i in range(3)
    ]
    return [sum(weight * plane for weight, plane in zip(row, rgb, strict=True)) for row in matrix]


def _as_factors(name: str, value: Any) -> tuple[float, float]:
    if is_number(value):
        if not value >= 0:
            raise ValueError(
                f"`{name}` must be a non-negative number or a pair of factors. "
                f"Received: {name}={value!r}."
            )
        value = (max(0.0, 1.0 - value), 1.0 + value)
    return number_pair(name, value, "factors, or one number,", 0)


def _as_turns(hue: Any) -> tuple[float, float]:
    if is_number(hue):
        if not 0 <= hue <= 0.5:
            raise ValueError(
                "`hue_factor` must be a number of turns in [0, 0.5], or a pair of turns. "
                f"Received: hue_factor={hue!r}. A value of 0.5 covers all hues."
            )
        hue = (-hue, hue)
    return number_pair("hue_factor", hue, "turns, or one number,", -1, 1)
