"""Augmenters in the models that they are made for."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive import augmentation as aug
from keras_contrastive.losses import InfoNCE
from tests.contracts.augmenter_cases import IMAGE_LAYERS, images, row_keys, tokens
from tests.helpers.backend import COMPILE_MOST, to_numpy
from tests.helpers.towers import settle

DATA = {"image": images(rows=16, dtype="uint8"), "text": tokens(rows=16)}


def image_encoder():
    inputs = keras.Input((7, 6, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    return settle(keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(x))))


def text_encoder():
    inputs = keras.Input((12,), dtype="int32")
    vectors = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(100, 8)(inputs))
    return settle(keras.Model(inputs, keras.layers.Dense(4)(vectors)))


def trainer(**kwargs):
    model = ContrastiveTrainer(
        image_encoder(), augmenters=aug.SimCLRImageAugmenter(blur=True, seed=4)
    )
    model.compile(keras.optimizers.SGD(0.1), InfoNCE(temperature=0.5), **kwargs)
    return model


def losses(model, epochs):
    history = model.fit(DATA["image"], batch_size=4, epochs=epochs, shuffle=False, verbose=0)
    return history.history["loss"]


def test_self_supervision_sees_two_new_views_in_each_step():
    model = trainer()
    found = losses(model, epochs=2)
    assert np.all(np.isfinite(found))
    assert int(model.augmenters.step) == 2 * 4 * 2


def test_training_is_the_same_on_every_backend():
    np.testing.assert_allclose(
        losses(trainer(), epochs=2), [1.344901, 1.375784], rtol=1e-4
    )  # computed on PyTorch


def test_training_is_the_same_compiled_and_eager():
    fast, slow = trainer(**COMPILE_MOST), trainer(run_eagerly=True)
    np.testing.assert_allclose(losses(fast, 2), losses(slow, 2), rtol=1e-4)


def test_interrupted_training_goes_on_with_the_views_that_were_next(tmp_path):
    in_one_go = losses(trainer(), epochs=2)
    model = trainer()
    first = losses(model, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(first + losses(loaded, epochs=1), in_one_go, rtol=1e-5)


@pytest.mark.filterwarnings(
    "error:.*looks like it has unbuilt state"
)  # what waits for a value cannot be traced
def test_towers_may_have_augmenters_of_images_and_of_tokens():
    augmenters = {"image": aug.SimCLRImageAugmenter(), "text": aug.EDATokenAugmenter(mask_id=99)}
    model = ContrastiveTrainer(
        {"image": image_encoder(), "text": text_encoder()}, augmenters=augmenters
    )
    model.compile("sgd", InfoNCE())
    history = model.fit(DATA, batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert [int(layer.step) for layer in augmenters.values()] == [2, 2]


def test_layers_in_a_row_in_a_sequential_model():
    layers = [keras.Input((7, 6, 3)), *(make() for make in IMAGE_LAYERS.values())]
    model = keras.Sequential(layers)
    x = images()
    assert np.array_equal(model.predict(x, verbose=0), x)
    views = to_numpy(model(x, training=True))
    assert views.shape == x.shape
    assert np.abs(views - x).mean() > 10


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_training_in_half_precision(policy):
    keras.config.set_dtype_policy(policy)
    assert np.all(np.isfinite(losses(trainer(), epochs=1)))


def test_the_augmenter_is_its_parts_one_after_the_other():
    x, keys = ops.convert_to_tensor(images()), row_keys(8)
    whole = aug.SimCLRImageAugmenter(blur=True)
    expected = x
    for place in ("crop", "flip", "color_jitter", "grayscale", "blur"):
        expected = getattr(whole, place).augment(expected, aug._base.keys_of_part(keys, place))
    assert np.array_equal(to_numpy(whole.augment(x, keys)), to_numpy(expected))


def test_the_defaults_are_the_papers():
    small, large = (
        aug.SimCLRImageAugmenter(),
        aug.SimCLRImageAugmenter(size=224, strength=1, blur=True),
    )
    assert small.blur is None
    assert (small.crop.area, small.crop.aspect_ratio, large.crop.size) == (
        (0.08, 1.0),
        (3 / 4, 4 / 3),
        (224, 224),
    )
    assert (small.flip.rate, small.color_jitter.rate, small.grayscale.rate, large.blur.rate) == (
        0.5,
        0.8,
        0.2,
        0.5,
    )
    assert small.color_jitter.brightness == pytest.approx((0.6, 1.4))
    assert large.color_jitter.contrast == large.color_jitter.saturation == pytest.approx((0.2, 1.8))
    assert large.color_jitter.hue == pytest.approx((-0.2, 0.2))


def test_parts_may_be_left_out_or_be_your_own():
    x = images()
    nothing = dict.fromkeys(("crop", "flip", "color_jitter", "grayscale", "blur"), False)
    assert np.array_equal(to_numpy(aug.SimCLRImageAugmenter(**nothing)(x, training=True)), x)
    certain = aug.SimCLRImageAugmenter(**(nothing | {"flip": aug.RandomFlip(rate=1)}))
    assert np.array_equal(to_numpy(certain(x, training=True)), x[:, :, ::-1])
    sized = aug.SimCLRImageAugmenter(crop=aug.RandomResizedCrop(size=5))
    assert sized.size == (5, 5)
    assert tuple(sized(keras.Input((7, 6, 3))).shape) == (None, 5, 5, 3)


def test_two_parts_of_one_class_do_not_draw_alike():
    both = aug.SimCLRImageAugmenter(
        crop=False,
        flip=aug.RandomFlip(seed=0),
        color_jitter=False,
        grayscale=aug.RandomFlip(seed=0),
        seed=0,
    )
    x = np.arange(2, dtype="float32").reshape(1, 1, 2, 1).repeat(2000, axis=0)
    flipped = to_numpy(both(x, training=True))[:, 0, 0, 0]
    assert abs(flipped.mean() - 0.5) < 5 * 0.5 / np.sqrt(2000)  # alike, they would undo each other
