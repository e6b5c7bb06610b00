"""Promises of every augmentation layer: draws, state, dtypes, shapes, saving and errors."""

import inspect
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import augmentation as aug
from tests.contracts.augmenter_cases import (
    IMAGE_LAYERS,
    IMAGE_SHAPE,
    LAYERS,
    LENGTH,
    ROWS,
    TOKEN_LAYERS,
    inputs,
    row_keys,
)
from tests.helpers.backend import gradients, to_numpy

every_layer = pytest.mark.parametrize("name", LAYERS)
every_image_layer = pytest.mark.parametrize("name", IMAGE_LAYERS)
every_token_layer = pytest.mark.parametrize("name", TOKEN_LAYERS)


def view(layer, x, training=True):
    return to_numpy(layer(x, training=training))


def test_every_public_layer_has_a_case():
    layers = {
        cls
        for cls in (getattr(aug, name) for name in aug.__all__)
        if isinstance(cls, type) and issubclass(cls, aug.Augmenter)
    }
    bases = {aug.Augmenter, aug.ImageAugmenter, aug.TokenAugmenter}
    assert {type(make()) for make in LAYERS.values()} == layers - bases
    for cls in layers - bases:
        assert keras.saving.get_registered_object(f"keras_contrastive>{cls.__name__}") is cls


# Draws


@every_layer
def test_outside_training_inputs_do_not_change(name):
    layer, x = LAYERS[name](), inputs(name)
    assert np.array_equal(view(layer, x, training=False), x)
    assert np.array_equal(to_numpy(layer(x)), x)
    assert int(layer.step) == 0


@every_layer
def test_draws_differ_between_rows_and_between_calls(name):
    x = np.repeat(inputs(name)[:1], ROWS, axis=0)
    layer = LAYERS[name](seed=1)
    first, second = view(layer, x), view(layer, x)
    different = len(np.unique(first.reshape(ROWS, -1), axis=0))
    # A flip or a conversion to gray has two results.
    assert different == 2 if name in ("flip", "grayscale") else different > 3
    assert not np.array_equal(first, second)
    assert int(layer.step) == 2


@every_layer
def test_equal_seeds_give_equal_views_and_different_seeds_different_views(name):
    x = inputs(name)
    first, again, other = (view(LAYERS[name](seed=seed), x) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@every_layer
def test_the_seed_of_keras_determines_a_missing_seed(name):
    keras.utils.set_random_seed(3)
    first, second = LAYERS[name](), LAYERS[name]()
    keras.utils.set_random_seed(3)
    again = LAYERS[name]()
    assert first.seed == again.seed != second.seed
    assert type(first).from_config(first.get_config()).seed == first.seed


def test_layers_of_different_classes_with_one_seed_have_different_keys():
    keys = set()
    for make in LAYERS.values():
        layer = make(seed=0)
        layer.build()
        keys.add(tuple(to_numpy(layer.next_keys(4)).tolist()))
    assert len(keys) == len(LAYERS)


# In a model. One model holds all layers, so that it is compiled and saved once.


@keras.saving.register_keras_serializable(package="tests")
class Projection(keras.layers.Layer):
    """Multiplies each row with fixed random numbers and a trainable weight."""

    def build(self, input_shape):
        size = math.prod(input_shape[1:])
        self.weight = self.add_weight(shape=(), initializer="ones")
        self.numbers = np.random.default_rng(size).uniform(size=size).astype("float32")

    def call(self, inputs):
        rows = ops.reshape(ops.cast(inputs, "float32"), (-1, len(self.numbers)))
        return self.weight * ops.mean(rows * self.numbers, axis=1)

    def expected(self, x):
        return (x.reshape(len(x), -1) * self.numbers).mean(dtype="float64")


def mean_output(y_true, y_pred):
    return ops.mean(y_pred)


BATCHES = (ROWS, ROWS, 5)


@pytest.fixture(scope="module")
def trained():
    """A model with all layers side by side, and the losses of three compiled steps by layer."""
    image = keras.Input(IMAGE_SHAPE, name="image")
    text = keras.Input((LENGTH,), dtype="int32", name="text")
    outputs = {
        name: Projection(name=f"{name}_projection")(
            make(seed=3, name=name)(image if name in IMAGE_LAYERS else text)
        )
        for name, make in LAYERS.items()
    }
    model = keras.Model({"image": image, "text": text}, outputs)
    model.compile(keras.optimizers.SGD(0.0), loss=dict.fromkeys(LAYERS, mean_output))
    losses = []
    for rows in BATCHES:
        # Older releases of Keras return the mean over the calls.
        model.reset_metrics()
        targets = {name: np.zeros(rows, "float32") for name in LAYERS}
        losses.append(model.train_on_batch(model_inputs(rows), targets, return_dict=True))
    return model, losses


def model_inputs(rows=ROWS):
    return {"image": inputs("crop")[:rows], "text": inputs("swap")[:rows]}


@every_layer
def test_compiled_steps_of_any_batch_size_equal_eager_calls(name, trained):
    model, losses = trained
    twin, projection = LAYERS[name](seed=3), model.get_layer(f"{name}_projection")
    for rows, loss in zip(BATCHES, losses, strict=True):
        # The view of a row does not depend on the other rows.
        expected = projection.expected(view(twin, inputs(name))[:rows])
        assert float(loss[f"{name}_loss"]) == pytest.approx(expected, rel=1e-5)
    assert int(model.get_layer(name).step) == 3


def test_a_loaded_model_continues_with_the_next_draws(trained, tmp_path):
    model, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    for _ in range(2):
        expected, outputs = (each(model_inputs(), training=True) for each in (model, loaded))
        for name in LAYERS:
            assert np.array_equal(to_numpy(outputs[name]), to_numpy(expected[name]))
    # Without the saved step, the draws would be those of the first call.
    for name in LAYERS:
        loaded.get_layer(name).step.assign(0)
    expected, outputs = (each(model_inputs(), training=True) for each in (model, loaded))
    for name in LAYERS:
        assert not np.array_equal(to_numpy(outputs[name]), to_numpy(expected[name]))


def test_gradients_of_the_images_are_finite_and_not_zero():
    layers, keys = [make() for make in IMAGE_LAYERS.values()], row_keys(ROWS)

    def total(*images):
        views = [layer.augment(x, keys) for layer, x in zip(layers, images, strict=True)]
        return ops.sum(ops.stack([ops.sum(each) for each in views]))

    for gradient in gradients(total, *[inputs("crop")] * len(layers), compiled=True):
        assert np.all(np.isfinite(gradient))
        assert np.any(gradient != 0)


# Configuration

CHANGED = {
    "flip": lambda: aug.RandomFlip(rate=0.1, mode="vertical", data_format="channels_first"),
    "crop": lambda: aug.RandomResizedCrop(size=(4, 5), scale=(0.1, 0.2), ratio=(1, 2)),
    "jitter": lambda: aug.RandomColorJitter((-1, 1), 0.1, (0.5, 2), 0.3, 0.4, 0.2),
    "grayscale": lambda: aug.RandomGrayscale(factor=0.1),
    "blur": lambda: aug.RandomGaussianBlur(sigma=(1, 2), rate=0.1),
    "simclr": lambda: aug.SimCLRImageAugmenter(
        *(12, 1.0, (0, 1)),
        flip=False,
        color_jitter=False,
        grayscale=aug.RandomGrayscale(0.9, seed=4),
        blur=True,
    ),
    "simclr_crop": lambda: aug.SimCLRImageAugmenter(crop=aug.RandomResizedCrop(5, seed=4)),
    "deletion": lambda: aug.RandomTokenDeletion(rate=0.3, padding_id=1, kept_ids=(2, 3)),
    "swap": lambda: aug.RandomTokenSwap(swaps=0.2, padding_id=1, kept_ids=[2]),
    "masking": lambda: aug.RandomTokenMasking(4, rate=0.3, padding_id=1, kept_ids=[2]),
    "replacement": lambda: aug.RandomTokenReplacement(
        {3: [4, 5]}, rate=0.3, padding_id=1, kept_ids=(2,)
    ),
    "insertion": lambda: aug.RandomTokenInsertion(
        {3: [4, 5]}, insertions=3, padding_id=1, kept_ids=(2,)
    ),
    "eda": lambda: aug.EDATokenAugmenter(
        0.3, {3: [4]}, mask_id=4, operations=["swap"], padding_id=1, kept_ids=(2,)
    ),
    "corruption": lambda: aug.TokenCorruption(
        30, 4, rate=0.3, hidden=0.4, replaced=0.2, padding_id=1, kept_ids=(2,)
    ),
}


def reloaded(layer):
    return keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))


@every_layer
def test_a_layer_from_its_config_gives_the_same_views(name):
    layer = LAYERS[name](seed=11, name="augmenter")
    again = reloaded(layer)
    assert again.get_config() == layer.get_config()
    assert np.array_equal(view(again, inputs(name)), view(layer, inputs(name)))


@pytest.mark.parametrize("name", CHANGED)
def test_the_config_holds_every_argument(name):
    layer = CHANGED[name]()
    config = layer.get_config()
    assert reloaded(layer).get_config() == config
    arguments = inspect.signature(type(layer).__init__).parameters
    unchanged = {
        argument
        for argument, parameter in arguments.items()
        if argument not in ("self", "kwargs") and config[argument] == parameter.default
    }
    # The crop of `simclr` must be the default, because a `size` is set.
    allowed = {"simclr": {"crop"}, "simclr_crop": set(arguments) - {"crop"}}
    assert unchanged <= allowed.get(name, set())


# Dtypes and layouts


@every_image_layer
@pytest.mark.parametrize("training", [True, False])
def test_integer_images_give_float_views(name, training):
    x = inputs(name, dtype="uint8")
    views, expected = (
        LAYERS[name](seed=0)(images, training=training) for images in (x, x.astype("float32"))
    )
    assert keras.backend.standardize_dtype(views.dtype) == "float32"
    assert np.array_equal(to_numpy(views), to_numpy(expected))


@every_image_layer
@pytest.mark.parametrize(
    ("policy", "training"),
    [("mixed_float16", True), ("mixed_bfloat16", False), ("float16", True)],
)
def test_a_policy_changes_the_dtype_of_the_result_only(name, policy, training):
    x = inputs(name, dtype="uint8")
    views = LAYERS[name](seed=0, dtype=policy)(x, training=training)
    dtype = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(views.dtype) == dtype
    expected = ops.cast(LAYERS[name](seed=0)(x, training=training), dtype)
    assert np.array_equal(
        to_numpy(ops.cast(views, "float32")), to_numpy(ops.cast(expected, "float32"))
    )


@every_image_layer
@pytest.mark.parametrize("training", [True, False])
def test_channels_first_gives_the_same_views(name, training):
    x = inputs(name)
    last = view(LAYERS[name](seed=0), x, training)
    layer = LAYERS[name](seed=0, data_format="channels_first")
    first = view(layer, x.transpose(0, 3, 1, 2), training)
    np.testing.assert_allclose(first.transpose(0, 2, 3, 1), last, atol=1e-4)


@every_image_layer
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_symbolic_views_have_the_shape_and_dtype_of_the_views(name, data_format):
    shape = IMAGE_SHAPE if data_format == "channels_last" else (3, 7, 6)
    layer = LAYERS[name](dtype="mixed_float16", data_format=data_format)
    symbolic = layer(keras.Input(shape, dtype="uint8"), training=True)
    assert tuple(symbolic.shape) == (None, *shape)
    assert symbolic.dtype == "float16"


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("cls", [aug.RandomResizedCrop, aug.SimCLRImageAugmenter])
def test_symbolic_views_have_the_requested_size(cls, data_format):
    sizes = {
        "channels_last": (IMAGE_SHAPE, (4, 5, 3)),
        "channels_first": ((3, 7, 6), (3, 4, 5)),
    }
    shape, expected = sizes[data_format]
    layer = cls(size=(4, 5), data_format=data_format)
    assert tuple(layer(keras.Input(shape)).shape) == (None, *expected)


@pytest.mark.parametrize("training", [True, False])
def test_views_have_the_requested_size(training):
    layer = aug.SimCLRImageAugmenter(size=(4, 5), data_format="channels_first")
    x = inputs("simclr").transpose(0, 3, 1, 2)
    assert layer(x, training=training).shape == (ROWS, 3, 4, 5)


@every_token_layer
@pytest.mark.parametrize("dtype", ["int64", "uint16"])
def test_token_ids_keep_their_dtype(name, dtype):
    x = ops.convert_to_tensor(inputs(name), dtype=dtype)
    views = LAYERS[name](seed=0)(x, training=True)
    assert keras.backend.standardize_dtype(views.dtype) == keras.backend.standardize_dtype(x.dtype)
    assert np.array_equal(to_numpy(views), view(LAYERS[name](seed=0), inputs(name)))
    symbolic = LAYERS[name]()(keras.Input((LENGTH,), dtype=dtype))
    assert (tuple(symbolic.shape), symbolic.dtype) == ((None, LENGTH), dtype)


# Errors


@every_image_layer
@pytest.mark.parametrize("shape", [(7, 6, 3), (2, 7, 6), (1, 2, 7, 6, 3)])
def test_inputs_that_are_not_a_batch_of_images_raise(name, shape):
    message = r"must be a batch of images `\(batch, height, width, channels\)`. Received: inputs"
    with pytest.raises(ValueError, match=message):
        LAYERS[name]()(np.ones(shape))


@every_image_layer
def test_images_of_unknown_size_raise(name):
    with pytest.raises(ValueError, match="known height, width and channels"):
        LAYERS[name]()(keras.Input((None, 6, 3)))


@pytest.mark.parametrize("name", ["jitter", "grayscale", "simclr"])
def test_color_layers_raise_unless_images_have_three_channels(name):
    with pytest.raises(ValueError, match="Received: 2 channels"):
        LAYERS[name]()(np.ones((2, 7, 6, 2)))
    with pytest.raises(ValueError, match="Received: 6 channels"):
        LAYERS[name](data_format="channels_first")(np.ones((2, 6, 7, 3)))


@pytest.mark.parametrize("name", ["flip", "crop", "blur"])
def test_other_layers_accept_any_number_of_channels(name):
    symbolic = LAYERS[name]()(keras.Input((7, 6, 5)), training=True)
    assert tuple(symbolic.shape) == (None, 7, 6, 5)


@every_token_layer
def test_inputs_that_are_not_token_ids_raise(name):
    with pytest.raises(TypeError, match="must be integer token ids"):
        LAYERS[name]()(np.ones((2, 5), "float32"), training=True)
    with pytest.raises(ValueError, match=r"must be token ids `\(batch, length\)` of known length"):
        LAYERS[name]()(np.ones((2, 5, 3), "int32"))
    with pytest.raises(ValueError, match="of known length"):
        LAYERS[name]()(keras.Input((None,), dtype="int32"))


@every_layer
def test_a_seed_that_is_not_an_integer_raises(name):
    with pytest.raises(TypeError, match=r"`seed` must be an integer\. Received: seed=1.5"):
        LAYERS[name](seed=1.5)


WRONG_ARGUMENTS = [
    (aug.RandomFlip, {"rate": 1.1}, ValueError, r"number in \[0, 1\]. Received: rate=1.1"),
    (aug.RandomFlip, {"rate": "a"}, TypeError, "`rate` must be a number"),
    (aug.RandomFlip, {"rate": float("nan")}, ValueError, "`rate` must be a number in"),
    (aug.RandomFlip, {"mode": "both"}, ValueError, "one of 'horizontal', 'vertical'"),
    (aug.RandomFlip, {"data_format": "NHWC"}, ValueError, "`data_format` must be one of"),
    (aug.RandomGrayscale, {"factor": -0.1}, ValueError, "`factor` must be a number in"),
    (aug.RandomResizedCrop, {"scale": (0, 1)}, ValueError, "`scale` must be positive"),
    (aug.RandomResizedCrop, {"scale": (0.5, 1.2)}, ValueError, "with 0 <= low <= high <= 1"),
    (aug.RandomResizedCrop, {"scale": (0.9, 0.5)}, ValueError, "`scale` must be a pair"),
    (aug.RandomResizedCrop, {"scale": (0.2, 0.5, 1)}, ValueError, "`scale` must be a pair"),
    (aug.RandomResizedCrop, {"scale": 0.5}, TypeError, "`scale` must be a pair"),
    (aug.RandomResizedCrop, {"ratio": (0, 1)}, ValueError, "must be positive"),
    (aug.RandomResizedCrop, {"size": 0}, ValueError, "`size` must be `None`, a positive integer"),
    (aug.RandomResizedCrop, {"size": (1, 2, 3)}, ValueError, r"or a pair \(height, width\)"),
    (aug.RandomResizedCrop, {"size": 2.5}, TypeError, "`size` must be `None`, a positive"),
    (aug.RandomColorJitter, {"brightness_factor": -1}, ValueError, "must be a non-negative number"),
    (
        aug.RandomColorJitter,
        {"contrast_factor": (2, 1)},
        ValueError,
        "`contrast_factor` must be a pair",
    ),
    (
        aug.RandomColorJitter,
        {"saturation_factor": "a"},
        TypeError,
        "`saturation_factor` must be a pair",
    ),
    (aug.RandomColorJitter, {"hue_factor": 0.6}, ValueError, r"number of turns in \[0, 0.5\]"),
    (aug.RandomColorJitter, {"hue_factor": (-2, 0)}, ValueError, "with -1 <= low <= high <= 1"),
    (aug.RandomColorJitter, {"rate": 2}, ValueError, "`rate` must be a number in"),
    (aug.RandomColorJitter, {"value_range": (1, 1)}, ValueError, "must be the different values"),
    (aug.RandomGaussianBlur, {"sigma": (0, 1)}, ValueError, "with 0.01 <= low <= high"),
    (aug.SimCLRImageAugmenter, {"strength": 2}, ValueError, r"a number in \[0, 1.25\]"),
    (aug.SimCLRImageAugmenter, {"size": 8, "crop": False}, ValueError, "`size` must be `None` if"),
    (aug.SimCLRImageAugmenter, {"flip": 0.5}, TypeError, "must be a bool or an `ImageAugmenter`"),
    (aug.RandomTokenDeletion, {"rate": 2}, ValueError, "`rate` must be a number in"),
    (aug.RandomTokenDeletion, {"padding_id": 0.0}, TypeError, "`padding_id` must be an integer"),
    (aug.RandomTokenDeletion, {"kept_ids": 3}, TypeError, "`kept_ids` must be a list"),
    (aug.RandomTokenDeletion, {"kept_ids": ["a"]}, TypeError, "`kept_ids` must be an integer"),
    (aug.RandomTokenSwap, {"swaps": 0}, ValueError, r"a positive integer, or a float in \(0, 1\)"),
    (aug.RandomTokenSwap, {"swaps": 1.0}, ValueError, "`swaps` must be a positive integer, or a"),
    (aug.RandomTokenSwap, {"swaps": "all"}, TypeError, "`swaps` must be a positive integer, or a"),
    (aug.RandomTokenMasking, {"mask_id": "a"}, TypeError, "`mask_id` must be an integer"),
    (aug.RandomTokenReplacement, {"table": {}}, ValueError, "`table` must be a dict.*at least one"),
    (aug.RandomTokenReplacement, {"table": {-1: [2]}}, ValueError, r"tokens in \[0, "),
    (aug.RandomTokenReplacement, {"table": [(1, [2]), (1, [3])]}, ValueError, "each token once"),
    (aug.RandomTokenReplacement, {"table": {"a": [2]}}, TypeError, "`table` must be an integer"),
    (aug.RandomTokenReplacement, {"table": [1, 2]}, TypeError, "`table` must be a dict"),
    (aug.RandomTokenReplacement, {"table": 3}, TypeError, "`table` must be a dict"),
    (aug.RandomTokenInsertion, {"table": {1: [2]}, "insertions": -1}, ValueError, "`insertions`"),
    (aug.EDATokenAugmenter, {"alpha": 1}, ValueError, r"`alpha` must be a number in \(0, 1\)"),
    (aug.EDATokenAugmenter, {"operations": ["masking"]}, ValueError, "'masking' without `mask_id`"),
    (
        aug.EDATokenAugmenter,
        {"operations": ["insertion", "swap"]},
        ValueError,
        "'insertion' without `table`",
    ),
    (aug.EDATokenAugmenter, {"operations": ["shuffle"]}, ValueError, "must be a list of some of"),
    (aug.EDATokenAugmenter, {"operations": []}, ValueError, "must be a list of some of"),
    (
        aug.TokenCorruption,
        {"vocabulary_size": 9, "mask_id": 1, "rate": 2},
        ValueError,
        "`rate` must be a number in",
    ),
    (
        aug.TokenCorruption,
        {"vocabulary_size": 9, "mask_id": 9},
        ValueError,
        r"`mask_id` must be a token id in \[0, 9\)",
    ),
    (
        aug.TokenCorruption,
        {"vocabulary_size": 9, "mask_id": 1, "hidden": 0.8, "replaced": 0.3},
        ValueError,
        "must sum to at most 1",
    ),
    (
        aug.TokenCorruption,
        {"vocabulary_size": 2, "mask_id": 1},
        ValueError,
        "`vocabulary_size` must leave a token",
    ),
]


@pytest.mark.parametrize(("cls", "arguments", "error", "message"), WRONG_ARGUMENTS)
def test_wrong_arguments_raise_with_the_reason(cls, arguments, error, message):
    with pytest.raises(error, match=message):
        cls(**arguments)
