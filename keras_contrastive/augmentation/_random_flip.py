"""Mirror images."""

import keras
from keras import ops

from keras_contrastive._draws import uniform
from keras_contrastive.augmentation._base import as_rate, select_rows
from keras_contrastive.augmentation._image_augmenter import ImageAugmenter

_AXIS = {"vertical": 1, "horizontal": 2}


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RandomFlip(ImageAugmenter):
    """Mirrors each image with probability `rate`.

    Unlike `keras.layers.RandomFlip`, its draws are the same on every backend and go on after a model was saved and
    loaded; it flips only with `training=True`, and its rate can be chosen. See `ImageAugmenter` for what it takes and
    returns.

    Args:
        rate: In `[0, 1]`, probability that an image is mirrored.
        direction: `"horizontal"`, left becomes right, or `"vertical"`, top becomes bottom.
        seed: Integer or `None`; see `ImageAugmenter`.
        **kwargs: `data_format`, and see `keras.layers.Layer`.

    Raises:
        ValueError: `rate` outside `[0, 1]`, an unknown `direction`.

    Reference:
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), App. A.

    Example:

    >>> images = np.reshape([[1.0, 2.0, 3.0]], (1, 1, 3, 1))
    >>> views = RandomFlip(rate=1)(images, training=True)
    >>> keras.ops.convert_to_numpy(views)[0, 0, :, 0].tolist()
    [3.0, 2.0, 1.0]
    """

    def __init__(self, rate=0.5, direction="horizontal", seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = as_rate("rate", rate)
        if direction not in _AXIS:
            raise ValueError(
                f'`direction` must be "horizontal" or "vertical". Received: direction={direction!r}.'
            )
        self.direction = direction

    def augment(self, images, keys):
        mirrored = ops.flip(images, axis=_AXIS[self.direction])
        return select_rows(uniform(keys, 1)[:, 0] <= self.rate, mirrored, images)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "direction": self.direction}
