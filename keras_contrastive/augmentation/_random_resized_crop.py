"""Random crops of images, resized."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive._checks import is_integer
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._base import draw_columns, number_pair, rescale
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter
from keras_contrastive.augmentation._separable import apply_along_axes, resize_weights

Size = int | tuple[int, int]


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomResizedCrop(ImageAugmenter):
    """Crops a box of random area, aspect ratio and position out of each image, and resizes it.

    Two crops of an image show different parts at different scales.

    * The area is uniform in `scale`.
    * The aspect ratio is log-uniform in `ratio`, among the ratios for which a box of this
      area fits into the image. If no ratio fits, the nearest one that fits is used. torchvision
      draws area and ratio again, up to ten times, if a box does not fit, which favors small areas.
    * The position is uniform, in fractions of a pixel.

    Resizing is bilinear and antialiased, as two batched matrix products. Pixels of the image next
    to the box contribute to the filter at its edge, as in Pillow's `resize(box=...)`. Outside
    training, the whole image is resized to `size`.

    `keras.layers.RandomCrop` crops without resizing, and `keras.layers.RandomZoom` zooms around the
    center. See `ImageAugmenter` for inputs and outputs.

    Args:
        size: `None` for the size of the images, a positive int for a square, or
            `(height, width)` in pixels.
        scale: `(low, high)` in (0, 1], the area of the box as a fraction of the image.
        ratio: `(low, high)`, positive, the width of the box divided by its height.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: `data_format`, and see `keras.layers.Layer`.

    Raises:
        TypeError: If an argument is not a number or a pair of numbers.
        ValueError: If an argument is out of range.

    Reference:
        - [Szegedy et al., 2015](https://arxiv.org/abs/1409.4842), Sec. 6: crops of random area
          and aspect ratio.
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), App. A.

    Example:

    >>> images = np.random.default_rng(0).uniform(size=(2, 32, 48, 3))
    >>> tuple(RandomResizedCrop(size=24)(images, training=True).shape)
    (2, 24, 24, 3)
    """

    def __init__(
        self,
        size: Size | None = None,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.size = as_size(size)
        self.scale = number_pair("scale", scale, "fractions of the image's area", 0, 1)
        self.ratio = number_pair("ratio", ratio, "ratios width / height", 0)
        for name, pair in (("scale", self.scale), ("ratio", self.ratio)):
            if pair[0] == 0:
                raise ValueError(f"`{name}` must be positive. Received: {name}={pair}.")

    def augment(self, images: Tensor, keys: Tensor) -> Tensor:
        top, left, height, width = self.draw_boxes(keys, *images.shape[1:3])
        return self._resize(images, top, left, height, width)

    def unaugmented(self, images: Tensor) -> Tensor:
        if self.size in (None, tuple(images.shape[1:3])):
            return images
        zeros, ones = np.zeros(1, "float32"), np.ones(1, "float32")
        whole = (zeros, zeros, ones * images.shape[1], ones * images.shape[2])
        return self._resize(images, *map(ops.convert_to_tensor, whole))

    def draw_boxes(
        self, keys: Tensor, height: int, width: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draws one box for each key.

        Args:
            keys: int32 `(batch,)`.
            height: Height of the images.
            width: Width of the images.

        Returns:
            Top, left, height and width of the boxes in pixels, `(batch,)` each.
        """
        draws = [ops.squeeze(draw, axis=1) for draw in draw_columns(keys, 4)]
        area_draw, ratio_draw, top_draw, left_draw = draws
        area = rescale(area_draw, *self.scale)
        # A box fits if its ratio, relative to the ratio of the image, is in [area, 1 / area].
        log_limit = -ops.log(area)
        low, high = (
            ops.maximum(ops.minimum(math.log(ratio * height / width), log_limit), -log_limit)
            for ratio in self.ratio
        )
        ratio = ops.exp(rescale(ratio_draw, low, high))
        box_height = height * ops.minimum(ops.sqrt(area / ratio), 1.0)
        box_width = width * ops.minimum(ops.sqrt(area * ratio), 1.0)
        top = top_draw * (height - box_height)
        left = left_draw * (width - box_width)
        return top, left, box_height, box_width

    def _resize(
        self, images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor
    ) -> Tensor:
        new_height, new_width = self.size or images.shape[1:3]
        rows = resize_weights(top, height, images.shape[1], new_height)
        columns = resize_weights(left, width, images.shape[2], new_width)
        return apply_along_axes(images, rows, columns)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "size": self.size,
            "scale": self.scale,
            "ratio": self.ratio,
        }


def as_size(size: Any) -> tuple[int, int] | None:
    """Returns a size as `(height, width)` or `None`."""
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    message = (
        "`size` must be `None`, a positive integer, or a pair (height, width) of positive "
        f"integers. Received: size={size!r}."
    )
    if not all(map(is_integer, pair)):
        raise TypeError(message)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(message)
    return int(pair[0]), int(pair[1])
