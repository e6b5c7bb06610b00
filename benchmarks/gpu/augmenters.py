"""Images per second of the SimCLR augmentation, beside layers of Keras and torchvision.

Each makes a random crop, flip, color jitter, grayscale and blur. `keras.layers` has no random
resized crop: zoom and crop take its place. torchvision draws once for a whole batch, so it is also
called once per image.
"""

import keras
import measure
import numpy as np

import keras_contrastive as kc
from gpu import device

BATCH, SIZE = 256, 224


def run(part):
    batch, size = (4, 32) if part.quick else (BATCH, SIZE)
    device.set_precision("TF32")
    images = keras.random.uniform((batch, size, size, 3), 0, 255, seed=0)
    for who, make in {"ours": _ours, "keras.layers": _keras_layers, **_TORCHVISION}.items():
        names = {"who": who, "batch": batch, "pixels": size}
        if part.has_time(3, **names):
            with part.row(**names) as found:
                step = make(size)
                _, found["first call, s"], _ = device.measured(step, [images])
                slow = measure.seconds(step, [images])
                seconds = [measure.seconds(step, [images]) for _ in range(_repeats(slow))]
                found["images / s"] = batch / float(np.median(seconds))


def _repeats(slow):
    return min(20, max(1, int(3 / slow)))


def _ours(size):
    return _as_function(kc.augmentation.SimCLRImageAugmenter(strength=1.0, blur=True, seed=0))


def _keras_layers(size):
    layers = keras.layers
    arguments = {"value_range": (0, 255), "seed": 0}
    return _as_function(
        keras.Sequential(
            [
                layers.RandomZoom((-0.7, 0.0), seed=0),
                layers.RandomCrop(size, size, seed=0),
                layers.RandomFlip("horizontal", seed=0),
                layers.RandomColorJitter(
                    brightness_factor=0.8,
                    contrast_factor=0.8,
                    saturation_factor=0.8,
                    hue_factor=0.2,
                    **arguments,
                ),
                layers.RandomGrayscale(0.2, seed=0),
                layers.RandomGaussianBlur(0.5, kernel_size=23, sigma=1.0, **arguments),
            ]
        )
    )


def _as_function(layer):
    """Returns a function of images, compiled on JAX."""
    if measure.BACKEND != "jax":
        return lambda images: layer(images, training=True)
    import jax

    variables = []

    def first_built(images):
        if not layer.built:
            layer.build(images.shape)
            variables[:] = [x.value for x in layer.non_trainable_variables]
        result, variables[:] = call(variables, images)
        return result

    call = jax.jit(lambda own, images: layer.stateless_call([], own, images, training=True))
    return first_built


def _torchvision(size, per_image):
    import torch
    from torchvision.transforms import v2

    jitter = v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8)
    blur = v2.RandomApply([v2.GaussianBlur(23, (0.1, 2.0))], 0.5)
    crop = v2.RandomResizedCrop(size, (0.08, 1.0), antialias=True)
    every = [crop, v2.RandomHorizontalFlip(), jitter, v2.RandomGrayscale(0.2), blur]
    transform = v2.Compose(every)

    def augment(images):
        images = images.permute(0, 3, 1, 2) / 255
        if per_image:
            return torch.stack([transform(image) for image in images])
        return transform(images)

    return augment


_TORCHVISION = {
    "torch": {
        "torchvision, one draw per batch": lambda size: _torchvision(size, per_image=False),
        "torchvision, one draw per image": lambda size: _torchvision(size, per_image=True),
    },
    "jax": {},
}[measure.BACKEND]
