"""Base class of the image augmentation layers: layout, precision, behavior outside training."""

from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._typing import Config, Shape, Tensor
from keras_contrastive.augmentation._base import Augmenter

_CHECKED_IMAGES = 256
DataFormat = Literal["channels_last", "channels_first"]


class ImageAugmenter(Augmenter):
    """Base class of layers that make random views of images.

    In training, each image of the batch is changed by its own draws. Outside training, the layer
    returns the images, resized if the layer has a `size`. It runs inside the compiled step, on the
    device of the model, and computes in float32 under every policy.

    A subclass implements `augment(images, keys)`. Its images are float32
    `(batch, height, width, channels)` for every `data_format`.

    Args:
        seed: See `Augmenter`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the setting of Keras.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: Images, float or integer, `(batch, height, width, channels)` or, with channels
            first, `(batch, channels, height, width)`. Height, width and channels must be static.
        training: Whether to augment.

    Returns:
        Images of the layer's compute dtype.

    Raises:
        ValueError: If the inputs do not have rank 4 or a static size, or if `data_format` is
            unknown.

    Example:

    >>> from keras_contrastive.extend import uniform
    >>> class RandomGain(ImageAugmenter):
    ...     def augment(self, images, keys):
    ...         return images * keras.ops.reshape(uniform(keys, 1), (-1, 1, 1, 1))
    >>> views = RandomGain(seed=0)(np.ones((2, 4, 4, 3)), training=True)
    >>> tuple(views.shape)
    (2, 4, 4, 3)
    """

    # Size (height, width) of the views. `None`: the views have the size of the images.
    size: tuple[int, int] | None = None

    def __init__(
        self, seed: int | None = None, data_format: DataFormat | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self._values_are_checked = False
        data_format = data_format or keras.config.image_data_format()
        self.data_format = _checks.one_of(
            "data_format", data_format, ("channels_last", "channels_first")
        )

    @property
    def _channels_first(self) -> bool:
        return self.data_format == "channels_first"

    def check_shape(self, shape: Shape) -> None:
        layout = (
            "(batch, channels, height, width)"
            if self._channels_first
            else "(batch, height, width, channels)"
        )
        if len(shape) != 4:
            raise ValueError(
                f"`inputs` of `{type(self).__name__}` must be a batch of images `{layout}`. "
                f"Received: inputs.shape={shape}. Add the batch axis to a single image, and the "
                "channel axis to gray images."
            )
        if None in shape[1:]:
            raise ValueError(
                f"`inputs` of `{type(self).__name__}` must be images `{layout}` of known height, "
                f"width and channels. Received: inputs.shape={shape}. Resize the images before "
                "they are batched."
            )
        self.check_channels(shape[1] if self._channels_first else shape[3])

    def check_channels(self, channels: int | None) -> None:
        """Raises a `ValueError` if images with this number of channels cannot be augmented."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        self.check_shape(tuple(inputs.shape))
        images = ops.cast(inputs, "float32")
        if self._channels_first:
            images = ops.transpose(images, (0, 2, 3, 1))
        if training:
            images = self.augment(images, self.next_keys(ops.shape(images)[0]))
        else:
            images = self.unaugmented(images)
        if self._channels_first:
            images = ops.transpose(images, (0, 3, 1, 2))
        return ops.cast(images, self.compute_dtype)

    def __call__(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, np.ndarray) and (kwargs.get("training") or any(args)):
            self.warn_of_values(inputs)
        return super().__call__(inputs, *args, **kwargs)

    @property
    def clipped_to(self) -> tuple[float, float] | None:
        """The limits to which the layer clips values, or `None` if it does not clip."""
        return None

    def warn_of_values(self, images: np.ndarray) -> None:
        """Warns if images have values that this layer clips. Checks the first images only.

        Args:
            images: The images on the host, so that nothing waits for a device.
        """
        limits, images = self.clipped_to, images[:_CHECKED_IMAGES]
        if self._values_are_checked or limits is None or not images.size:
            return
        self._values_are_checked = True
        low, high = float(images.min()), float(images.max())
        tolerance = 1e-3 * (limits[1] - limits[0])
        if low < limits[0] - tolerance or high > limits[1] + tolerance:
            _checks.warn(
                f"`value_range` of `{type(self).__name__}` is {limits}, but images have values "
                f"from {low:.4g} to {high:.4g}. Values outside are clipped. Pass `value_range`, "
                "the values of black and white in your images."
            )

    def unaugmented(self, images: Tensor) -> Tensor:
        """Returns the output outside training: the images, resized if the layer has a size.

        Args:
            images: float32 `(batch, height, width, channels)`.
        """
        return images

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.size is None:
            return tuple(input_shape)
        if self._channels_first:
            return (*input_shape[:2], *self.size)
        return (input_shape[0], *self.size, input_shape[3])

    def get_config(self) -> Config:
        return {**super().get_config(), "data_format": self.data_format}


def check_three_channels(layer: str, channels: int | None) -> None:
    """Raises a `ValueError` unless images have three channels: red, green and blue."""
    if channels != 3:
        raise ValueError(
            f"`inputs` of `{layer}` must be color images with 3 channels: red, green and blue. "
            f"Received: {channels} channels. Set `data_format` to the layout of your images, or "
            "leave out the color augmentations for gray images."
        )
