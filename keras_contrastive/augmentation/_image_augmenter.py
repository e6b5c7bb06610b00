"""What the image views share: layout of the images, precision, and what happens outside training."""

import keras
from keras import ops

from keras_contrastive.augmentation._base import Augmenter


class ImageAugmenter(Augmenter):
    """Base class of layers that make random views of images.

    In training each image of the batch is changed by draws of its own; otherwise the layer returns the images (at the
    size that was asked for, if any). It runs inside the compiled step, on the device of the model, and computes in
    float32 under every policy.

    A view of your own needs one method, `augment(images, keys)`; its images are float32
    `(batch, height, width, channels)`, whatever the `data_format`.

    Args:
        seed: See `Augmenter`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for Keras' own setting.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: Images, float or integer, `(batch, height, width, channels)` or, with channels first,
            `(batch, channels, height, width)`. Height, width and channels must be static.
        training: Whether to augment.

    Returns:
        Images of the layer's compute dtype.

    Raises:
        ValueError: Another rank, an unknown height or width, another `data_format`.

    Example:

    >>> from keras_contrastive._draws import uniform
    >>> class RandomGain(ImageAugmenter):
    ...     def augment(self, images, keys):
    ...         return images * keras.ops.reshape(uniform(keys, 1), (-1, 1, 1, 1))
    >>> views = RandomGain(seed=0)(np.ones((2, 4, 4, 3)), training=True)
    >>> tuple(views.shape)
    (2, 4, 4, 3)
    """

    size: tuple[int, int] | None = (
        None  # of the views, (height, width); `None` is that of the images
    )

    def __init__(self, seed=None, data_format=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        data_format = data_format or keras.config.image_data_format()
        if data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                f'`data_format` must be "channels_last" or "channels_first". Received: data_format={data_format!r}.'
            )
        self.data_format = data_format

    @property
    def _channels_first(self):
        return self.data_format == "channels_first"

    def check_shape(self, shape):
        layout = (
            "(batch, channels, height, width)"
            if self._channels_first
            else "(batch, height, width, channels)"
        )
        if len(shape) != 4:
            raise ValueError(
                f"`{type(self).__name__}` expects a batch of images `{layout}`. Received: shape {shape}. "
                "Does a single image lack its batch axis, or a gray image its channel axis?"
            )
        if None in shape[1:]:
            raise ValueError(
                f"`{type(self).__name__}` expects images `{layout}` of known height, width and channels. "
                f"Received: shape {shape}. Resize the images before they are batched."
            )
        self.check_channels(shape[1] if self._channels_first else shape[3])

    def check_channels(self, channels):
        """Raise a `ValueError` if images with so many channels cannot be augmented."""

    def call(self, inputs, training=None):
        self.check_shape(tuple(inputs.shape))
        images = ops.cast(inputs, "float32")
        if self._channels_first:
            images = ops.transpose(images, (0, 2, 3, 1))
        images = (
            self.augment(images, self.next_keys(ops.shape(images)[0]))
            if training
            else self.leave(images)
        )
        if self._channels_first:
            images = ops.transpose(images, (0, 3, 1, 2))
        return ops.cast(images, self.compute_dtype)

    def leave(self, images):
        """What becomes of images outside training: nothing, but for their size."""
        return images

    def compute_output_shape(self, input_shape):
        if self.size is None:
            return tuple(input_shape)
        batch, channels = input_shape[0], input_shape[1 if self._channels_first else 3]
        return (
            (batch, channels, *self.size) if self._channels_first else (batch, *self.size, channels)
        )

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}


def check_three_channels(layer, channels):
    """Refuse images that are not red, green and blue."""
    if channels != 3:
        raise ValueError(
            f"`{layer}` changes colors and expects images with 3 channels: red, green and blue. "
            f"Received: {channels} channels. Does `data_format` fit, and do the images have a color to change?"
        )
