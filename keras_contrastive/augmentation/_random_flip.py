"""Random mirroring of images."""

from typing import Any, Literal

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._base import draw_columns, select_rows
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter

_AXIS = {"vertical": 1, "horizontal": 2}


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomFlip(ImageAugmenter):
    """Mirrors each image with probability `rate`.

    Unlike `keras.layers.RandomFlip`, the layer mirrors along one axis, has a rate, flips only with
    `training=True`, draws the same on every backend, and continues its draws after saving and
    loading. See `ImageAugmenter` for inputs and outputs.

    Args:
        mode: `"horizontal"` swaps left and right. `"vertical"` swaps top and bottom.
        rate: Float in [0, 1], the probability that an image is mirrored.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: `data_format`, and see `keras.layers.Layer`.

    Raises:
        ValueError: If `rate` is outside [0, 1] or `mode` is unknown.

    Reference:
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), App. A.

    Example:

    >>> images = np.reshape([[1.0, 2.0, 3.0]], (1, 1, 3, 1))
    >>> views = RandomFlip(rate=1)(images, training=True)
    >>> keras.ops.convert_to_numpy(views)[0, 0, :, 0].tolist()
    [3.0, 2.0, 1.0]
    """

    def __init__(
        self,
        mode: Literal["horizontal", "vertical"] = "horizontal",
        rate: float = 0.5,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.mode = _checks.one_of("mode", mode, ("horizontal", "vertical"))
        self.rate = _checks.fraction("rate", rate)

    def augment(self, images: Tensor, keys: Tensor) -> Tensor:
        (rate_draw,) = draw_columns(keys, 1)
        mirrored = ops.flip(images, axis=_AXIS[self.mode])
        return select_rows(rate_draw <= self.rate, mirrored, images)

    def get_config(self) -> Config:
        return {**super().get_config(), "mode": self.mode, "rate": self.rate}
