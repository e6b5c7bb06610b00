"""SimCLR's views of images, in one layer."""

import keras

from keras_contrastive.augmentation._base import keys_of_part
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter
from keras_contrastive.augmentation._random_color_jitter import RandomColorJitter
from keras_contrastive.augmentation._random_flip import RandomFlip
from keras_contrastive.augmentation._random_gaussian_blur import RandomGaussianBlur
from keras_contrastive.augmentation._random_grayscale import RandomGrayscale
from keras_contrastive.augmentation._random_resized_crop import RandomResizedCrop

_PARTS = ("crop", "flip", "color_jitter", "grayscale", "blur")


@keras.saving.register_keras_serializable(package="keras_contrastive")
class SimCLRImageAugmenter(ImageAugmenter):
    """Crop, flip, color jitter, gray and blur: the views that SimCLR contrasts.

    Give it to `ContrastiveTrainer(encoders=backbone, augmenters=SimCLRImageAugmenter())`. The defaults are the paper's
    for small images (CIFAR-10: strength 0.5, no blur). For large ones (ImageNet) it takes
    `SimCLRImageAugmenter(size=224, strength=1.0, blur=True)`.

    Each part is `True` for the paper's, `False` to leave it out, or a layer of yours: one of this room, or another
    `ImageAugmenter`. In here, parts draw from the seed and the step of the whole; what they have of their own is not
    used, nor is their `data_format`. See `ImageAugmenter` for what the layer takes and returns.

    Args:
        size: `None` for the size of the images, or that of the views: a positive int, or `(height, width)`.
        strength: Number in `[0, 1.25]`, scales the color jitter: brightness, contrast and saturation change by up to
            `0.8 * strength`, hue by `0.2 * strength` turns. Beyond that, pass a `color_jitter`.
        value_range: `(low, high)`, the values of black and white.
        crop: A bool or a layer. The paper's takes 8 % to 100 % of the area. With a crop of your own, `size` is its.
        flip: A bool or a layer. The paper's mirrors half of the images, left to right.
        color_jitter: A bool or a layer. The paper's changes 80 % of the images.
        grayscale: A bool or a layer. The paper's turns 20 % of the images gray.
        blur: A bool or a layer. The paper's blurs half of the images, by 0.1 to 2 pixels.
        seed: Integer or `None`; see `ImageAugmenter`.
        **kwargs: `data_format`, and see `keras.layers.Layer`.

    Raises:
        TypeError: A part that is neither a bool nor an `ImageAugmenter`.
        ValueError: A `size` or `strength` that is not as above, or that a part of your own leaves without effect;
            images that have not 3 channels, unless `color_jitter` and `grayscale` are left out.

    Reference:
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), App. A and, for CIFAR-10, B.9.

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
        size=None,
        strength=0.5,
        value_range=(0, 255),
        crop=True,
        flip=True,
        color_jitter=True,
        grayscale=True,
        blur=False,
        seed=None,
        **kwargs,
    ):
        super().__init__(seed=seed, **kwargs)
        if (
            isinstance(strength, bool)
            or not isinstance(strength, (int, float))
            or not 0 <= strength <= 1.25
        ):
            raise ValueError(
                f"`strength` must be a number in [0, 1.25]. Received: strength={strength!r}."
            )
        if size is not None and crop is not True:
            raise ValueError(
                f"`size` is the size of the crop made here. Received: size={size!r}, crop={crop!r}. "
                "Pass `crop=RandomResizedCrop(size=...)` instead."
            )
        self.strength = strength
        self.value_range = tuple(value_range)
        self.asked_size = size
        given = {
            "crop": crop,
            "flip": flip,
            "color_jitter": color_jitter,
            "grayscale": grayscale,
            "blur": blur,
        }
        self._as_given = {
            name: part if isinstance(part, bool) else "a layer" for name, part in given.items()
        }
        for name, part in given.items():
            setattr(self, name, self._part(name, part))
        sizes = [part.size for part in self._parts.values() if part.size is not None]
        self.size = sizes[-1] if sizes else None

    def _part(self, name, given):
        """The layer, or `None`."""
        if given is False:
            return None
        if given is True:
            return self._papers(name)
        if not isinstance(given, ImageAugmenter):
            raise TypeError(
                f"`{name}` must be a bool or an image augmenter of `keras_contrastive.augmentation`. "
                f"Received: {name}={given!r}."
            )
        return given

    def _papers(self, name):
        if name == "crop":
            return RandomResizedCrop(self.asked_size, area=(0.08, 1.0), seed=self.seed)
        if name == "color_jitter":
            most = 0.8 * self.strength
            return RandomColorJitter(
                most, most, most, 0.2 * self.strength, 0.8, self.value_range, seed=self.seed
            )
        return {"flip": RandomFlip, "grayscale": RandomGrayscale, "blur": RandomGaussianBlur}[name](
            seed=self.seed
        )

    @property
    def _parts(self):
        return {name: getattr(self, name) for name in _PARTS if getattr(self, name) is not None}

    def check_channels(self, channels):
        for part in self._parts.values():
            part.check_channels(channels)

    def augment(self, images, keys):
        for name, part in self._parts.items():
            images = part.augment(images, keys_of_part(keys, name))
        return images

    def leave(self, images):
        for part in self._parts.values():
            images = part.leave(images)
        return images

    def get_config(self):
        parts = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            if given == "a layer"
            else given
            for name, given in self._as_given.items()
        }
        own = {"size": self.asked_size, "strength": self.strength, "value_range": self.value_range}
        return {**super().get_config(), **own, **parts}

    @classmethod
    def from_config(cls, config):
        parts = {
            name: config[name]
            if isinstance(config[name], bool)
            else keras.saving.deserialize_keras_object(config[name])
            for name in _PARTS
        }
        return cls(**{**config, **parts})
