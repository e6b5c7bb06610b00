"""What every augmentation layer keeps: its draws, its state, its dtypes, and what it refuses."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import augmentation as aug
from keras_contrastive._draws import hash_keys
from tests.contracts.augmenter_cases import IMAGE_LAYERS, LAYERS, TOKEN_LAYERS, inputs
from tests.helpers.backend import compiled, gradients, to_numpy

every = pytest.mark.parametrize("name", LAYERS)
every_image = pytest.mark.parametrize("name", IMAGE_LAYERS)
every_token = pytest.mark.parametrize("name", TOKEN_LAYERS)

# Of the third call with seed 5: the mean of the left two columns of three views, or the view of the first row of ids.
# Computed on PyTorch.
FIXTURE = {
    "flip": [135.764, 138.08, 126.628],
    "crop": [136.004, 138.862, 117.552],
    "jitter": [161.765, 61.615, 139.325],
    "grayscale": [141.095, 145.13, 130.399],
    "blur": [135.536, 136.223, 126.562],
    "simclr": [175.804, 139.178, 79.81],
    "deletion": [5, 5, 7, 9, 1, 2, 8, 9, 3, 0, 0, 0],
    "swap": [5, 8, 7, 9, 1, 2, 3, 9, 5, 3, 0, 0],
    "masking": [99, 5, 7, 99, 1, 2, 99, 9, 99, 3, 0, 0],
    "replacement": [5, 5, 7, 9, 1, 2, 8, 9, 3, 3, 0, 0],
    "insertion": [5, 5, 7, 9, 1, 2, 50, 8, 9, 3, 50, 3],
    "eda": [5, 50, 7, 9, 1, 2, 8, 9, 3, 3, 0, 0],
}


def view(layer, x, training=True):
    return to_numpy(layer(x, training=training))


def test_every_public_layer_is_under_test():
    layers = {
        cls
        for cls in (getattr(aug, name) for name in aug.__all__)
        if isinstance(cls, type) and issubclass(cls, aug.Augmenter)
    }
    bases = {aug.Augmenter, aug.ImageAugmenter, aug.TokenAugmenter}
    assert {type(make()) for make in LAYERS.values()} == layers - bases
    for cls in layers - bases:
        assert keras.saving.get_registered_object(f"keras_contrastive>{cls.__name__}") is cls


@every
def test_outside_training_nothing_changes(name):
    layer, x = LAYERS[name](), inputs(name)
    assert np.array_equal(view(layer, x, training=False), x)
    assert np.array_equal(to_numpy(layer(x)), x)
    assert int(layer.step) == 0


@every
def test_each_row_is_drawn_by_itself_and_anew_at_each_call(name):
    x = np.repeat(inputs(name)[:1], 32, axis=0)
    layer = LAYERS[name](seed=1)
    first, second = view(layer, x), view(layer, x)
    assert len(np.unique(first.reshape(32, -1), axis=0)) > (
        1 if name in ("flip", "grayscale") else 4
    )
    assert not np.array_equal(first, second)
    assert int(layer.step) == 2


@every
def test_the_same_seed_gives_the_same_views_and_another_seed_others(name):
    x = inputs(name, rows=32)
    first, again, other = (view(LAYERS[name](seed=seed), x) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@every
def test_without_a_seed_one_is_drawn_that_keras_can_fix(name):
    keras.utils.set_random_seed(3)
    first, second = LAYERS[name](), LAYERS[name]()
    keras.utils.set_random_seed(3)
    again = LAYERS[name]()
    assert first.seed == again.seed != second.seed
    assert type(first).from_config(first.get_config()).seed == first.seed


@every
def test_the_draws_are_the_same_on_every_backend(name):
    layer, x = LAYERS[name](seed=5), inputs(name)
    third = [view(layer, x) for _ in range(3)][-1]
    if name in TOKEN_LAYERS:
        assert third[0].tolist() == FIXTURE[name]
    else:
        np.testing.assert_allclose(
            third[:3, :, :2].mean((1, 2, 3), dtype="float64"), FIXTURE[name], atol=2e-3
        )


def test_layers_of_different_classes_with_one_seed_do_not_draw_alike():
    keys = {
        name: tuple(to_numpy(_built(make(seed=0)).next_keys(4)).tolist())
        for name, make in LAYERS.items()
    }
    assert len(set(keys.values())) == len(keys)


def _built(layer):
    layer.build()
    return layer


@every
def test_compiled_for_any_batch_equals_eager_and_a_row_does_not_depend_on_the_others(name):
    layer, x = LAYERS[name](seed=2), ops.convert_to_tensor(inputs(name))

    def augment(x):
        return layer.augment(x, hash_keys(4, ops.arange(ops.shape(x)[0], dtype="int32")))

    fast, expected = compiled(augment), to_numpy(augment(x))
    for rows in (5, 8):
        np.testing.assert_allclose(to_numpy(fast(x[:rows])), expected[:rows], atol=1e-3)


@every
def test_a_compiled_model_draws_anew_at_each_step_what_the_layer_would(name):
    x = inputs(name)
    layer, twin = LAYERS[name](seed=3), LAYERS[name](seed=3)
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype), layer, _WeighedMean()])
    model.compile(keras.optimizers.SGD(0.0), loss=lambda y_true, y_pred: ops.mean(y_pred))
    losses = []
    for rows in (8, 8, 5):
        model.reset_metrics()  # older releases of Keras return the mean over the calls
        losses.append(float(model.train_on_batch(x[:rows], np.zeros(rows))))
    expected = [view(twin, x[:rows]).mean(dtype="float64") for rows in (8, 8, 5)]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert int(layer.step) == 3


class _WeighedMean(keras.layers.Layer):
    """The mean of each row, with a weight for the optimizer to have one."""

    def build(self, input_shape):
        self.weight = self.add_weight(shape=(), initializer="ones")

    def call(self, inputs):
        rows = ops.reshape(ops.cast(inputs, "float32"), (-1, math.prod(inputs.shape[1:])))
        return self.weight * ops.mean(rows, axis=1)


@every
def test_a_loaded_model_goes_on_with_the_draws_that_were_next(name, tmp_path):
    x = inputs(name, rows=32)
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype), LAYERS[name]()])
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for _ in range(2):
        assert np.array_equal(view(loaded, x), view(model, x))
    loaded.layers[0].step.assign(0)  # as if the step had not been saved
    assert not np.array_equal(view(loaded, x), view(model, x))


@every
def test_every_argument_comes_back(name):
    layer = LAYERS[name](seed=11, name="augmenter")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    assert np.array_equal(view(again, inputs(name)), view(layer, inputs(name)))


def test_arguments_that_are_not_the_defaults_come_back():
    table = {3: [4, 5]}
    layers = [
        aug.RandomFlip(rate=0.1, direction="vertical", data_format="channels_first", seed=1),
        aug.RandomResizedCrop(size=(4, 5), area=(0.1, 0.2), aspect_ratio=(1, 2)),
        aug.RandomColorJitter(0.1, (0.5, 2), 0.3, 0.4, rate=0.2, value_range=(-1, 1)),
        aug.RandomGrayscale(rate=0.1),
        aug.RandomGaussianBlur(sigma=(1, 2), rate=0.1),
        aug.SimCLRImageAugmenter(
            12, 1.0, (0, 1), flip=False, grayscale=aug.RandomGrayscale(0.9, seed=4), blur=False
        ),
        aug.RandomTokenDeletion(rate=0.3, padding_id=1, kept_ids=(2, 3)),
        aug.RandomTokenSwap(swaps=0.2, padding_id=1, kept_ids=[2]),
        aug.RandomTokenMasking(mask_id=4, rate=0.3, padding_id=1),
        aug.RandomTokenReplacement(table, rate=0.3, kept_ids=(2,)),
        aug.RandomTokenInsertion(table, insertions=3, padding_id=9),
        aug.EDATokenAugmenter(
            0.3, table, mask_id=4, operations=["insertion", "masking"], padding_id=1, kept_ids=(2,)
        ),
    ]
    for layer in layers:
        config, defaults = layer.get_config(), LAYERS_BY_CLASS[type(layer)]().get_config()
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert again.get_config() == config
        own = set(config) - {
            "name",
            "trainable",
            "dtype",
            "seed",
            "data_format",
            "padding_id",
            "kept_ids",
            "crop",
        }
        assert all(config[key] != defaults[key] for key in own - {"color_jitter"}), layer


LAYERS_BY_CLASS = {type(make()): make for make in LAYERS.values()}


@every_image
@pytest.mark.parametrize("training", [True, False])
def test_bytes_become_floats(name, training):
    x = inputs(name, dtype="uint8")
    views, of_floats = (
        LAYERS[name](seed=0)(images, training=training) for images in (x, x.astype("float32"))
    )
    assert keras.backend.standardize_dtype(views.dtype) == "float32"
    assert np.array_equal(to_numpy(views), to_numpy(of_floats))


@every_image
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_other_policies_round_the_result_only(name, policy, training):
    x = inputs(name, dtype="uint8")
    views = LAYERS[name](seed=0, dtype=policy)(x, training=training)
    dtype = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(views.dtype) == dtype
    expected = ops.cast(LAYERS[name](seed=0)(x, training=training), dtype)
    assert np.array_equal(
        to_numpy(ops.cast(views, "float32")), to_numpy(ops.cast(expected, "float32"))
    )


@every_image
@pytest.mark.parametrize("training", [True, False])
def test_channels_may_come_first(name, training):
    x = inputs(name)
    last = view(LAYERS[name](seed=0), x, training)
    first = view(
        LAYERS[name](seed=0, data_format="channels_first"), x.transpose(0, 3, 1, 2), training
    )
    np.testing.assert_allclose(first.transpose(0, 2, 3, 1), last, atol=1e-4)


@every_image
def test_symbolic_shapes_and_dtypes_are_those_of_the_views(name):
    for kwargs, shape in (({}, (7, 6, 3)), ({"data_format": "channels_first"}, (3, 7, 6))):
        symbolic = LAYERS[name](dtype="mixed_float16", **kwargs)(
            keras.Input(shape, dtype="uint8"), training=True
        )
        assert tuple(symbolic.shape) == (None, *shape)
        assert symbolic.dtype == "float16"


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_symbolic_shapes_have_the_size_that_was_asked_for(data_format):
    shape, expected = (
        ((7, 6, 3), (4, 5, 3)) if data_format == "channels_last" else ((3, 7, 6), (3, 4, 5))
    )
    for cls in (aug.RandomResizedCrop, aug.SimCLRImageAugmenter):
        layer = cls(size=(4, 5), data_format=data_format)
        assert tuple(layer(keras.Input(shape)).shape) == (None, *expected)
        for training in (True, False):
            assert layer(np.ones((2, *shape)), training=training).shape == (2, *expected)


@every_token
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint16"])
@pytest.mark.parametrize("training", [True, False])
def test_ids_keep_their_dtype(name, dtype, training):
    x = ops.convert_to_tensor(inputs(name), dtype=dtype)
    views = LAYERS[name](seed=0)(x, training=training)
    assert keras.backend.standardize_dtype(views.dtype) == keras.backend.standardize_dtype(x.dtype)
    assert np.array_equal(to_numpy(views), view(LAYERS[name](seed=0), inputs(name), training))
    symbolic = LAYERS[name]()(keras.Input((12,), dtype=dtype))
    assert (tuple(symbolic.shape), symbolic.dtype) == ((None, 12), dtype)


@every_image
def test_the_gradient_passes(name):
    layer, x = LAYERS[name](), inputs(name, rows=2)
    keys = hash_keys(0, ops.arange(2, dtype="int32"))
    (found,) = gradients(lambda x: ops.sum(layer.augment(x, keys)), x)
    assert np.all(np.isfinite(found))
    assert np.any(found != 0)


@every_image
@pytest.mark.parametrize("shape", [(7, 6, 3), (2, 7, 6), (1, 2, 7, 6, 3)])
def test_what_is_no_batch_of_images_is_refused(name, shape):
    with pytest.raises(
        ValueError, match=r"expects a batch of images `\(batch, height, width, channels\)`"
    ):
        LAYERS[name]()(np.ones(shape))


@every_image
def test_images_of_unknown_size_are_refused(name):
    with pytest.raises(ValueError, match="known height, width and channels"):
        LAYERS[name]()(keras.Input((None, 6, 3)))


@pytest.mark.parametrize("name", ["jitter", "grayscale", "simclr"])
def test_colors_need_three_channels(name):
    with pytest.raises(ValueError, match="Received: 2 channels"):
        LAYERS[name]()(np.ones((2, 7, 6, 2)))
    with pytest.raises(ValueError, match="Received: 6 channels"):
        LAYERS[name](data_format="channels_first")(np.ones((2, 6, 7, 3)))


@pytest.mark.parametrize("name", ["flip", "crop", "blur"])
def test_any_channels_will_do_for_what_changes_no_color(name):
    assert LAYERS[name]()(np.ones((2, 7, 6, 5)), training=True).shape == (2, 7, 6, 5)


@every_token
def test_what_is_no_batch_of_ids_is_refused(name):
    with pytest.raises(TypeError, match="expects integer token ids"):
        LAYERS[name]()(np.ones((2, 5), "float32"), training=True)
    with pytest.raises(ValueError, match=r"expects token ids `\(batch, length\)`"):
        LAYERS[name]()(np.ones((2, 5, 3), "int32"))
    with pytest.raises(ValueError, match="known length"):
        LAYERS[name]()(keras.Input((None,), dtype="int32"))


@every
@pytest.mark.parametrize("seed", [1.5, "1", True])
def test_a_seed_is_an_integer(name, seed):
    with pytest.raises(TypeError, match="`seed` must be an integer or `None`"):
        LAYERS[name](seed=seed)


REFUSED = [
    (aug.RandomFlip, {"rate": 1.1}, ValueError, r"`rate` must be in \[0, 1\].*Received: rate=1.1"),
    (aug.RandomFlip, {"rate": "a"}, TypeError, "`rate` must be a number"),
    (aug.RandomFlip, {"rate": float("nan")}, ValueError, "`rate` must be in"),
    (
        aug.RandomFlip,
        {"direction": "both"},
        ValueError,
        '`direction` must be "horizontal" or "vertical"',
    ),
    (aug.RandomFlip, {"data_format": "NHWC"}, ValueError, "`data_format` must be"),
    (aug.RandomGrayscale, {"rate": -0.1}, ValueError, "`rate` must be in"),
    (aug.RandomResizedCrop, {"area": (0, 1)}, ValueError, "`area` must be positive"),
    (aug.RandomResizedCrop, {"area": (0.5, 1.2)}, ValueError, "`area` must be a pair"),
    (aug.RandomResizedCrop, {"area": (0.9, 0.5)}, ValueError, "`area` must be a pair"),
    (aug.RandomResizedCrop, {"area": 0.5}, TypeError, "`area` must be a pair"),
    (
        aug.RandomResizedCrop,
        {"aspect_ratio": (0, 1)},
        ValueError,
        "`aspect_ratio` must be positive",
    ),
    (aug.RandomResizedCrop, {"size": 0}, ValueError, "`size` must be one positive number"),
    (aug.RandomResizedCrop, {"size": (1, 2, 3)}, ValueError, "`size` must be one positive number"),
    (aug.RandomResizedCrop, {"size": 2.5}, TypeError, "`size` must be `None`, an integer"),
    (aug.RandomColorJitter, {"brightness": -1}, ValueError, "`brightness` must not be negative"),
    (aug.RandomColorJitter, {"contrast": (2, 1)}, ValueError, "`contrast` must be a pair"),
    (aug.RandomColorJitter, {"saturation": "a"}, TypeError, "`saturation` must be a pair"),
    (aug.RandomColorJitter, {"hue": 0.6}, ValueError, r"`hue` must be in \[0, 0.5\]"),
    (aug.RandomColorJitter, {"rate": 2}, ValueError, "`rate` must be in"),
    (aug.RandomColorJitter, {"value_range": (1, 1)}, ValueError, "`value_range` must not be empty"),
    (aug.RandomGaussianBlur, {"sigma": (0, 1)}, ValueError, "`sigma` must be a pair"),
    (aug.SimCLRImageAugmenter, {"strength": 2}, ValueError, "`strength` must be a number in"),
    (
        aug.SimCLRImageAugmenter,
        {"size": 8, "crop": False},
        ValueError,
        "`size` is the size of the crop made here",
    ),
    (
        aug.SimCLRImageAugmenter,
        {"flip": 0.5},
        TypeError,
        "`flip` must be a bool or an image augmenter",
    ),
    (aug.RandomTokenDeletion, {"rate": 2}, ValueError, "`rate` must be in"),
    (aug.RandomTokenDeletion, {"padding_id": 0.0}, TypeError, "`padding_id` must be an integer"),
    (aug.RandomTokenDeletion, {"kept_ids": 3}, TypeError, "`kept_ids` must be a list"),
    (aug.RandomTokenDeletion, {"kept_ids": ["a"]}, TypeError, "`kept_ids` must be an integer"),
    (
        aug.RandomTokenSwap,
        {"swaps": 0},
        ValueError,
        "`swaps` must be a positive integer, or a float",
    ),
    (
        aug.RandomTokenSwap,
        {"swaps": 1.0},
        ValueError,
        "`swaps` must be a positive integer, or a float",
    ),
    (
        aug.RandomTokenSwap,
        {"swaps": "all"},
        TypeError,
        "`swaps` must be a positive integer, or a float",
    ),
    (aug.RandomTokenMasking, {"mask_id": "a"}, TypeError, "`mask_id` must be an integer"),
    (aug.RandomTokenReplacement, {"table": {}}, ValueError, "`table` must be a dict.*at least one"),
    (aug.RandomTokenReplacement, {"table": {-1: [2]}}, ValueError, r"tokens in \[0, "),
    (aug.RandomTokenReplacement, {"table": [(1, [2]), (1, [3])]}, ValueError, "each token once"),
    (aug.RandomTokenReplacement, {"table": {"a": [2]}}, TypeError, "`table` must be an integer"),
    (aug.RandomTokenReplacement, {"table": [1, 2]}, TypeError, "`table` must be a dict"),
    (aug.RandomTokenReplacement, {"table": 3}, TypeError, "`table` must be a dict"),
    (
        aug.RandomTokenInsertion,
        {"table": {1: [2]}, "insertions": -1},
        ValueError,
        "`insertions` must be a positive",
    ),
    (aug.EDATokenAugmenter, {"alpha": 1}, ValueError, r"`alpha` must be in \(0, 1\)"),
    (aug.EDATokenAugmenter, {"operations": ["masking"]}, ValueError, "masking, which needs"),
    (
        aug.EDATokenAugmenter,
        {"operations": ["insertion", "swap"]},
        ValueError,
        "insertion, which needs",
    ),
    (
        aug.EDATokenAugmenter,
        {"operations": ["shuffle"]},
        ValueError,
        "`operations` must be a list of some of",
    ),
    (
        aug.EDATokenAugmenter,
        {"operations": []},
        ValueError,
        "`operations` must be a list of some of",
    ),
]


@pytest.mark.parametrize(("cls", "kwargs", "error", "message"), REFUSED)
def test_wrong_arguments_are_refused_with_a_reason(cls, kwargs, error, message):
    with pytest.raises(error, match=message):
        cls(**kwargs)
