"""The image augmentation of SimCLR, in one layer."""

from typing import Any

import keras

from keras_contrastive._checks import real
from keras_contrastive._keras import deserialize, serialize
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._base import number_pair, part_keys
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter
from keras_contrastive.augmentation._random_color_jitter import RandomColorJitter
from keras_contrastive.augmentation._random_flip import RandomFlip
from keras_contrastive.augmentation._random_gaussian_blur import RandomGaussianBlur
from keras_contrastive.augmentation._random_grayscale import RandomGrayscale
from keras_contrastive.augmentation._random_resized_crop import RandomResizedCrop, Size

_PARTS = ("crop", "flip", "color_jitter", "grayscale", "blur")

Part = bool | ImageAugmenter


@keras.saving.register_keras_serializable(package="keras_contrastive")
class SimCLRImageAugmenter(ImageAugmenter):
    """Makes the views of SimCLR: crop, flip, color jitter, grayscale and blur.

    Use it as `ContrastiveTrainer(encoders=backbone, augmenters=SimCLRImageAugmenter())`. The
    defaults are those of the paper for small images (CIFAR-10: strength 0.5, no blur). For large
    images (ImageNet), the paper uses `SimCLRImageAugmenter(size=224, strength=1.0, blur=True)`.

    Each part is `True` for the part of the paper, `False` to leave it out, or an `ImageAugmenter`.
    Parts draw from the seed and the step of this layer. Their own seed, step and `data_format` are
    not used. See `ImageAugmenter` for inputs and outputs.

    Args:
        size: Size of the views: `None` for the size of the images, a positive int, or
            `(height, width)`.
        strength: Number in [0, 1.25], the strength of the color jitter. Brightness, contrast and
            saturation change by up to `0.8 * strength`, hue by `0.2 * strength` turns. For
            stronger jitter, pass a `color_jitter`.
        value_range: `(low, high)`, the values of black and white.
        crop: A bool or a layer. The crop of the paper covers 8 % to 100 % of the area. If you pass
            a layer, set the size of the views there.
        flip: A bool or a layer. The paper mirrors half of the images horizontally.
        color_jitter: A bool or a layer. The paper changes 80 % of the images.
        grayscale: A bool or a layer. The paper converts 20 % of the images.
        blur: A bool or a layer. The paper blurs half of the images, by 0.1 to 2 pixels.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: `data_format`, and see `keras.layers.Layer`.

    Raises:
        TypeError: If a part is neither a bool nor an `ImageAugmenter`.
        ValueError: If `size` or `strength` is out of range, or if `size` is set together with
            `crop`. If images do not have 3 channels, unless `color_jitter` and `grayscale` are
            left out.

    Reference:
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), App. A, and B.9 for CIFAR-10.

    Example:

    >>> images = np.random.default_rng(0).integers(256, size=(2, 32, 32, 3), dtype="uint8")
    >>> augmenter = SimCLRImageAugmenter(size=24, seed=0)
    >>> first, second = augmenter(images, training=True), augmenter(images, training=True)
    >>> tuple(first.shape)
    (2, 24, 24, 3)
    >>> bool(keras.ops.all(first == second))
    False
    """

    def __init__(
        self,
        size: Size | None = None,
        strength: float = 0.5,
        value_range: tuple[float, float] = (0, 255),
        crop: Part = True,
        flip: Part = True,
        color_jitter: Part = True,
        grayscale: Part = True,
        blur: Part = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.strength = real("strength", strength, 0, 1.25)
        if size is not None and crop is not True:
            raise ValueError(
                "`size` must be `None` if `crop` is not `True`. "
                f"Received: size={size!r}, crop={crop!r}. "
                "Pass `crop=RandomResizedCrop(size=...)` instead."
            )
        self.value_range = number_pair("value_range", value_range, "values of black and white")
        self._requested_size = size
        parts = {
            "crop": crop,
            "flip": flip,
            "color_jitter": color_jitter,
            "grayscale": grayscale,
            "blur": blur,
        }
        # Only bools: a dict of layers would be a second path to their weights in a saved file.
        self._flags = {name: part for name, part in parts.items() if isinstance(part, bool)}
        for name, part in parts.items():
            setattr(self, name, self._make_part(name, part))
        sizes = [part.size for part in self._parts.values() if part.size is not None]
        self.size = sizes[-1] if sizes else None

    def _make_part(self, name: str, part: Any) -> ImageAugmenter | None:
        if part is False:
            return None
        if part is True:
            return self._make_default_part(name)
        if not isinstance(part, ImageAugmenter):
            raise TypeError(
                f"`{name}` must be a bool or an `ImageAugmenter`. Received: {name}={part!r}. "
                "Use a layer of `keras_contrastive.augmentation`."
            )
        return part

    def _make_default_part(self, name: str) -> ImageAugmenter:
        if name == "crop":
            return RandomResizedCrop(self._requested_size, seed=self.seed)
        if name == "color_jitter":
            factor, turns = 0.8 * self.strength, 0.2 * self.strength
            return RandomColorJitter(
                self.value_range, factor, factor, factor, turns, seed=self.seed
            )
        parts = {"flip": RandomFlip, "grayscale": RandomGrayscale, "blur": RandomGaussianBlur}
        return parts[name](seed=self.seed)

    @property
    def _parts(self) -> dict[str, ImageAugmenter]:
        return {name: getattr(self, name) for name in _PARTS if getattr(self, name) is not None}

    @property
    def clipped_to(self) -> tuple[float, float] | None:
        return None if self.color_jitter is None else self.color_jitter.clipped_to

    def check_channels(self, channels: int | None) -> None:
        for part in self._parts.values():
            part.check_channels(channels)

    def augment(self, images: Tensor, keys: Tensor) -> Tensor:
        for name, part in self._parts.items():
            images = part.augment(images, part_keys(keys, name))
        return images

    def unaugmented(self, images: Tensor) -> Tensor:
        for part in self._parts.values():
            images = part.unaugmented(images)
        return images

    def get_config(self) -> Config:
        parts = {name: self._flags.get(name, getattr(self, name)) for name in _PARTS}
        return {
            **super().get_config(),
            "size": self._requested_size,
            "strength": self.strength,
            "value_range": self.value_range,
            **{name: serialize(part) for name, part in parts.items()},
        }

    @classmethod
    def from_config(cls, config: Config) -> "SimCLRImageAugmenter":
        return cls(**{**config, **{name: deserialize(config[name]) for name in _PARTS}})
