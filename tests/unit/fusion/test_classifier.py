"""`FusionClassifier`: reading several images, and starting from another model."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive._tokens import masked_mean
from keras_contrastive.fusion import FusionClassifier, FusionEncoder, FusionTrainer
from tests.helpers.backend import COMPILE_LEAST, to_numpy
from tests.helpers.fusion_tasks import build, classifier, questions
from tests.helpers.fusion_trainers import towers


@pytest.fixture(scope="module")
def one_image():
    return classifier()


@pytest.fixture(scope="module")
def separate_images():
    """A classifier that reads two images with the text, each on its own."""
    return classifier(num_images=2, separate=True)


@pytest.fixture(scope="module")
def trainer():
    fusion = FusionEncoder(1, 2, hidden_dim=12)
    model = FusionTrainer(towers(), fusion, pooling={"text": "class_token"})
    build(model, questions(1)[0])
    return model


def values(layer):
    return [to_numpy(weight).copy() for weight in layer.weights]


def assert_equal(arrays, others):
    for array, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(array, other)


# Inputs


@pytest.mark.slow_to_compile
def test_separate_images_are_pooled_side_by_side(separate_images):
    x = questions(num_images=2)[0]
    one = FusionClassifier.from_pretrained(separate_images, 2, num_images=1)
    pooled = [masked_mean(*one.fuse({**x, "image": x["image"][:, i]})) for i in range(2)]
    expected = separate_images.head(ops.concatenate(pooled, axis=1))
    np.testing.assert_allclose(to_numpy(separate_images(x)), to_numpy(expected), atol=1e-6)


@pytest.mark.slow_to_compile
def test_image_tokens_can_be_computed_once(separate_images):
    x = questions(num_images=2)[0]
    identity = {"image": keras.layers.Identity()}
    model = FusionClassifier.from_pretrained(separate_images, 2, encoders=identity)
    tokens = separate_images.encoders["image"](x["image"].reshape(-1, 4, 4, 2))
    tokens = to_numpy(tokens).reshape(8, 2, 5, -1)
    model({"image": tokens, "text": x["text"]})
    model.head.set_weights(separate_images.head.get_weights())
    actual = to_numpy(model({"image": tokens, "text": x["text"]}))
    np.testing.assert_allclose(actual, to_numpy(separate_images(x)), atol=1e-5)


@pytest.mark.traced
@pytest.mark.parametrize("separate", [False, True])
def test_size_of_images_can_be_unknown_when_the_model_is_traced(separate):
    grid = keras.Sequential([keras.Input((None, None, 2)), keras.layers.Conv2D(6, 2, 2)])
    fusion = FusionEncoder(1, 2, num_images=1 if separate else 2)
    model = FusionClassifier({**towers(), "image": grid}, fusion, 2, num_images=2)
    image, text = keras.Input((2, None, None, 2)), keras.Input((5,), dtype="int32")
    outer = keras.Model([image, text], model({"image": image, "text": text}))
    x = questions(num_images=2)[0]
    actual = to_numpy(outer([x["image"], x["text"]]))
    np.testing.assert_allclose(actual, to_numpy(model(x)), atol=1e-5)


def test_padding_mask_replaces_the_padding_id(one_image):
    x = questions()[0]
    ids = np.where(x["text"] == 0, 5, x["text"])
    masked = {**x, "text": {"token_ids": ids, "padding_mask": x["text"] > 0}}
    np.testing.assert_allclose(to_numpy(one_image(masked)), to_numpy(one_image(x)), atol=1e-6)


# Starting from another model


@pytest.mark.parametrize("num_images", [1, 2])
def test_from_pretrained_copies_towers_and_fusion_encoder(trainer, num_images):
    fusion = trainer.fusion.for_images(num_images)
    model = FusionClassifier.from_pretrained(trainer, 3, fusion=fusion)
    assert model.pooling == "class_token"
    assert len(model.fusion.blocks) == num_images
    for name, tower in trainer.encoders.items():
        assert_equal(values(model.encoders[name]), values(tower))
    for block in model.fusion.blocks:
        assert_equal(values(block), values(trainer.fusion.blocks[0]))
    before = values(trainer)
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    assert_equal(values(trainer), before)


def test_frozen_layers_stay_frozen_in_copies_and_files(tmp_path):
    model = classifier()
    model.encoders["text"].trainable = False
    model.fusion.blocks[0].trainable = False
    copy = FusionClassifier.from_pretrained(model, 2)
    assert len(copy.trainable_weights) == len(model.trainable_weights) < len(model.weights)
    assert not any("text_tower" in weight.path for weight in copy.trainable_weights)
    blocks = copy.fusion.for_images(2).blocks
    assert not any(weight.trainable for block in blocks for weight in block.weights)
    model.fusion.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [w.trainable for w in loaded.weights] == [w.trainable for w in model.weights]
    assert not loaded.encoders["text"].trainable_weights + loaded.fusion.trainable_weights


@pytest.mark.slow_to_compile
def test_from_pretrained_inherits_arguments():
    model = classifier(num_images=2, separate=True, hidden_dim=6, dropout=0.5)
    copy = FusionClassifier.from_pretrained(model, 3)
    assert (copy.num_classes, copy.num_images, copy.hidden_dim, copy.dropout) == (3, 2, 6, 0.5)
    assert FusionClassifier.from_pretrained(model, 3, 1, dropout=0.0).num_images == 1
    for_three = FusionClassifier.from_pretrained(model, 3, fusion=model.fusion.for_images(3))
    assert for_three.num_images == 3
    with pytest.raises(TypeError, match="too many positional"):
        FusionClassifier.from_pretrained(model, 3, 1, "mean", None, 0.0, 0, "name")


class WithoutConfig(keras.layers.Layer):
    """A tower that cannot be recreated from its config."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


def test_tower_without_a_config_must_be_passed():
    text = WithoutConfig(towers()["text"])
    model = FusionClassifier({**towers(), "text": text}, FusionEncoder(1, 2), 2)
    build(model, questions(1)[0])
    with pytest.raises(
        ValueError, match=r'(?s)`encoders\["text"\]` must be recreated.*Pass a copy'
    ):
        FusionClassifier.from_pretrained(model, 2)
    encoders = {"text": towers()["text"]}
    assert FusionClassifier.from_pretrained(model, 2, encoders=encoders).num_classes == 2


# Training


@pytest.mark.traced
@pytest.mark.slow_to_compile
@pytest.mark.parametrize("separate", [True, pytest.param(False, marks=pytest.mark.full)])
def test_classifier_of_two_images_learns_after_another_task(separate):
    x, labels, _ = questions(128, num_images=2)
    first = classifier(num_classes=3, num_images=2, separate=separate)
    model = FusionClassifier.from_pretrained(first, num_classes=2, pooling="class_token")
    assert (model.num_images, model.pooling, first.pooling) == (2, "class_token", "mean")
    model.compile(keras.optimizers.Adam(0.01), metrics=["accuracy"])
    model.fit(x, labels, batch_size=32, epochs=12, shuffle=False, verbose=0)
    x, labels, _ = questions(64, seed=9, num_images=2)
    results = model.evaluate(x, labels, batch_size=32, verbose=0, return_dict=True)
    assert results["accuracy"] > 0.9


@pytest.fixture(scope="module")
def trained():
    """A classifier under mixed precision after two steps, with its history."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    x, labels, _ = questions(16)
    model = classifier(hidden_dim=6, dropout=0.1)
    model.compile(keras.optimizers.Adam(0.01), **COMPILE_LEAST)
    history = model.fit(x, labels, batch_size=8, verbose=0).history
    keras.config.set_dtype_policy("float32")
    return model, history


@pytest.mark.slow_to_compile
def test_logits_are_float32_under_mixed_precision(trained):
    model, history = trained
    assert model.fusion.compute_dtype == "bfloat16"
    assert model.predict(questions()[0], verbose=0).dtype == "float32"
    assert np.isfinite(history["loss"]).all()


def test_saved_classifier_predicts_the_same_and_continues_training(trained, tmp_path):
    model, _ = trained
    x, labels, _ = questions()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is FusionClassifier
    assert FusionClassifier.from_config(loaded.get_config()).get_config() == loaded.get_config()
    logits, expected = (classifier.predict(x, verbose=0) for classifier in (loaded, model))
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    assert int(to_numpy(loaded.optimizer.iterations)) == 2
    before = values(loaded)
    loaded.fit(x, labels, batch_size=8, verbose=0)
    assert int(to_numpy(loaded.optimizer.iterations)) == 3
    assert any((new != old).any() for new, old in zip(values(loaded), before, strict=True))


# Errors


@pytest.fixture(scope="module")
def two_images():
    return classifier(num_images=2)


X = questions()[0]
CALL_ERRORS = {
    "missing image": (
        lambda one, two: one({"text": X["text"]}),
        ValueError,
        'must be a dict with "image" and "text".*Received: text',
    ),
    "one image instead of two": (
        lambda one, two: two(X),
        ValueError,
        r'`"image"` must hold 2 images per text.*\(8, 4, 4, 2\)',
    ),
    "name of a loss of probabilities": (
        lambda one, two: one.compile(loss="sparse_categorical_crossentropy"),
        ValueError,
        "`loss` must accept logits",
    ),
    "loss of probabilities": (
        lambda one, two: one.compile(loss=keras.losses.SparseCategoricalCrossentropy()),
        ValueError,
        "`loss` must accept logits",
    ),
    "pretrained layer": (
        lambda one, two: FusionClassifier.from_pretrained(one.fusion, 2),
        TypeError,
        "must be a `FusionTrainer` or a task model. Received: FusionEncoder",
    ),
    "pretrained model that is not built": (
        lambda one, two: FusionClassifier.from_pretrained(
            FusionClassifier(towers(), FusionEncoder(1, 2), 2), 2
        ),
        ValueError,
        "must be built",
    ),
    "trainer with a fusion encoder of two images": (
        lambda one, two: FusionTrainer(towers(), FusionEncoder(1, 2, num_images=2)),
        ValueError,
        "`fusion` must read 1 image with each text",
    ),
    "fewer images than the fusion encoder": (
        lambda one, two: two.fusion.for_images(1),
        ValueError,
        "an encoder that reads 2 images",
    ),
    "more images than the fusion encoder": (
        lambda one, two: FusionClassifier.from_pretrained(two, 2, num_images=3),
        ValueError,
        "`fusion` must read 1 or 3 images with each text. Received: a fusion encoder of 2",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), CALL_ERRORS.values(), ids=CALL_ERRORS)
def test_wrong_calls_raise(one_image, two_images, call, error, message):
    with pytest.raises(error, match=message):
        call(one_image, two_images)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_classes": 0}, ValueError, "`num_classes` must be a positive integer"),
        ({"num_classes": 2.0}, TypeError, "`num_classes` must be a positive integer"),
        ({"hidden_dim": -1}, ValueError, "`hidden_dim` must be `None` or a positive integer"),
        ({"pooling": "max"}, ValueError, "`pooling` must be one of 'mean', 'class_token'"),
        ({"encoders": {"image": None}}, ValueError, "`encoders` must be a dict of two towers"),
        ({"fusion": keras.layers.Dense(3)}, TypeError, "`fusion` must be a `keras_contrastive"),
        ({"padding_id": 5}, ValueError, r"`padding_id` must be the same in the model and in"),
    ],
)
def test_wrong_arguments_raise(arguments, error, message):
    valid = {"encoders": towers(), "fusion": FusionEncoder(1, 2), "num_classes": 2}
    with pytest.raises(error, match=message):
        FusionClassifier(**{**valid, **arguments})
