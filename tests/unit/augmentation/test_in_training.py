"""Augmenters inside models: trainers, Sequential models, half precision, saving."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive import augmentation as aug
from keras_contrastive.augmentation._base import part_keys
from keras_contrastive.losses import InfoNCE
from tests.contracts.augmenter_cases import IMAGE_LAYERS, ROWS, images, row_keys, tokens
from tests.helpers.backend import COMPILE_MOST, to_numpy
from tests.helpers.towers import settle

DATA = {"image": images(rows=16, dtype="uint8"), "text": tokens(rows=16)}
PARTS = ("crop", "flip", "color_jitter", "grayscale", "blur")
# Losses of two epochs of `trainer`. PyTorch computed them. They pin the draws and the arithmetic of
# all image augmentations on the other backends.
LOSSES = [1.344901, 1.375784]


def image_encoder():
    inputs = keras.Input((7, 6, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    return settle(keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(x))))


def text_encoder():
    inputs = keras.Input((12,), dtype="int32")
    vectors = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(100, 8)(inputs))
    return settle(keras.Model(inputs, keras.layers.Dense(4)(vectors)))


def trainer(**kwargs):
    augmenter = aug.SimCLRImageAugmenter(blur=True, seed=4)
    model = ContrastiveTrainer(image_encoder(), augmenters=augmenter)
    model.compile(keras.optimizers.SGD(0.1), InfoNCE(temperature=0.5), **kwargs)
    return model


def losses(model, epochs):
    history = model.fit(DATA["image"], batch_size=4, epochs=epochs, shuffle=False, verbose=0)
    return history.history["loss"]


@pytest.mark.traced
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(COMPILE_MOST, id="compiled"),
        pytest.param({"run_eagerly": True}, id="eager", marks=pytest.mark.full),
    ],
)
def test_training_is_equal_on_every_backend(options):
    model = trainer(**options)
    np.testing.assert_allclose(losses(model, epochs=2), LOSSES, rtol=1e-4)
    # Two views in each of four steps of two epochs.
    assert int(model.augmenters.step) == 2 * 4 * 2


@pytest.mark.traced
def test_interrupted_training_continues_with_the_next_views(tmp_path):
    model = trainer()
    first = losses(model, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(first + losses(loaded, epochs=1), LOSSES, rtol=1e-4)


# Keras warns about unbuilt state if it cannot trace a layer that reads the value of a tensor.
@pytest.mark.slow_to_compile
@pytest.mark.filterwarnings("error:.*looks like it has unbuilt state")
def test_a_trainer_accepts_augmenters_of_images_and_of_tokens():
    augmenters = {"image": aug.SimCLRImageAugmenter(), "text": aug.EDATokenAugmenter(mask_id=99)}
    model = ContrastiveTrainer(
        {"image": image_encoder(), "text": text_encoder()}, augmenters=augmenters
    )
    model.compile("sgd", InfoNCE())
    history = model.fit(DATA, batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert [int(layer.step) for layer in augmenters.values()] == [2, 2]


def test_a_sequential_model_accepts_all_image_layers():
    model = keras.Sequential([keras.Input((7, 6, 3)), *(make() for make in IMAGE_LAYERS.values())])
    x = images()
    assert np.array_equal(model.predict(x, verbose=0), x)
    views = to_numpy(model(x, training=True))
    assert views.shape == x.shape
    assert np.abs(views - x).mean() > 10


@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.full)]
)
def test_losses_are_finite_in_half_precision(policy):
    keras.config.set_dtype_policy(policy)
    assert np.all(np.isfinite(losses(trainer(), epochs=1)))


# SimCLRImageAugmenter


def test_simclr_applies_its_parts_in_order():
    x, keys = ops.convert_to_tensor(images()), row_keys(ROWS)
    whole = aug.SimCLRImageAugmenter(blur=True)
    expected = x
    for name in PARTS:
        expected = getattr(whole, name).augment(expected, part_keys(keys, name))
    assert np.array_equal(to_numpy(whole.augment(x, keys)), to_numpy(expected))


def test_simclr_has_the_defaults_of_the_paper():
    small = aug.SimCLRImageAugmenter()
    large = aug.SimCLRImageAugmenter(size=224, strength=1, blur=True)
    assert small.blur is None
    assert small.crop.scale == (0.08, 1.0)
    assert small.crop.ratio == (3 / 4, 4 / 3)
    assert large.crop.size == (224, 224)
    rates = (small.flip.rate, small.color_jitter.rate, small.grayscale.factor, large.blur.rate)
    assert rates == (0.5, 0.8, 0.2, 0.5)
    assert small.color_jitter.brightness_factor == pytest.approx((0.6, 1.4))
    jitter = large.color_jitter
    assert jitter.contrast_factor == jitter.saturation_factor == pytest.approx((0.2, 1.8))
    assert large.color_jitter.hue_factor == pytest.approx((-0.2, 0.2))


def test_parts_of_simclr_can_be_left_out_or_replaced():
    x = images()
    nothing = dict.fromkeys(PARTS, False)
    assert np.array_equal(to_numpy(aug.SimCLRImageAugmenter(**nothing)(x, training=True)), x)
    flip = aug.SimCLRImageAugmenter(**(nothing | {"flip": aug.RandomFlip(rate=1)}))
    assert np.array_equal(to_numpy(flip(x, training=True)), x[:, :, ::-1])
    crop = aug.SimCLRImageAugmenter(crop=aug.RandomResizedCrop(size=5))
    assert crop.size == (5, 5)
    assert tuple(crop(keras.Input((7, 6, 3))).shape) == (None, 5, 5, 3)


def test_two_parts_of_one_class_draw_independently():
    parts = {"flip": aug.RandomFlip(seed=0), "grayscale": aug.RandomFlip(seed=0)}
    both = aug.SimCLRImageAugmenter(crop=False, color_jitter=False, **parts, seed=0)
    x = np.arange(2, dtype="float32").reshape(1, 1, 2, 1).repeat(2000, axis=0)
    flipped = to_numpy(both(x, training=True))[:, 0, 0, 0]
    # Two equal flips would give the original image in all rows.
    assert abs(flipped.mean() - 0.5) < 5 * 0.5 / np.sqrt(2000)
