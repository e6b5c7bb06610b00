"""One output of a trainer as a model of its own: `embedder`, and predictions of some modalities."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import DeepFeatureSeparation
from keras_contrastive.losses import InfoNCE, NTXent
from tests.helpers import fusion_trainers, towers


def separated(source="embedding"):
    """Two towers with one projector, and heads of independent features."""
    model = ContrastiveTrainer(
        towers.towers(),
        projectors={"text": towers.settle(towers.tower(4), 5)},
        regularizers=[DeepFeatureSeparation(contrast=0.0, source=source, depth=1)],
    )
    model(towers.pairs(2))
    return model


def units(rows):
    rows = np.asarray(rows, "float64")
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def numbers(tensor):
    return ops.convert_to_numpy(tensor)


def near(expected, atol=1e-6):
    return pytest.approx(np.asarray(expected), abs=atol)


NAMES = ("image", "text", "image_independent", "text_independent")


@pytest.mark.parametrize("source", ["embedding", "features"])
def test_each_output_of_predict_has_an_embedder(source):
    model, x = separated(source), towers.pairs(7)
    outputs = model(x)
    assert tuple(sorted(outputs)) == tuple(sorted(NAMES))
    for name in NAMES:
        rows = x[name.partition("_")[0]]
        expected = numbers(outputs[name])
        assert numbers(model.embedder(name, normalize=False)(rows)) == near(expected)
        vectors = numbers(model.embedder(name)(rows))
        assert vectors == near(units(expected))
        assert np.linalg.norm(vectors, axis=1) == near(np.ones(7))


def test_a_truncated_embedder_normalizes_the_dimensions_that_it_keeps():
    model, x = separated(), towers.pairs(7)["image"]
    full = numbers(model.embedder("image", normalize=False)(x))
    assert numbers(model.embedder("image", truncate=2)(x)) == near(units(full[:, :2]))
    raw = model.embedder("image", normalize=False, truncate=2)
    assert numbers(raw(x)) == near(full[:, :2])


def test_without_projector_it_returns_the_representation():
    model, x = separated(), towers.pairs(7)["text"]
    representation = model.embedder("text", projected=False, normalize=False)
    assert numbers(representation(x)) == near(numbers(model.encoders["text"](x)))


def test_rows_of_zeros_stay_zero():
    linear = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    model = ContrastiveTrainer({"image": linear})
    rows = np.array([[0, 0, 0], [1, 2, 3]], "float32")
    assert np.linalg.norm(numbers(model.embedder("image")(rows)), axis=1) == near([0, 1])


def test_a_float16_model_has_float32_vectors_of_unit_length():
    keras.config.set_dtype_policy("mixed_float16")
    model = ContrastiveTrainer({"image": towers.tower(6)})
    embedder = model.embedder("image")
    vectors = embedder(towers.pairs(5)["image"])
    # Its program takes what `predict` takes.
    assert embedder.get_build_config()["inputs"].dtype == "float32"
    assert keras.backend.standardize_dtype(vectors.dtype) == "float32"
    assert np.linalg.norm(numbers(vectors), axis=1) == near(np.ones(5))


def test_the_same_embedder_returns_the_new_vectors_after_fit():
    """With one encoder, whose augmenter the embedder skips, as `predict` does."""
    x = towers.pairs(8)["image"]
    projector = towers.settle(towers.tower(4, 3), 1)
    encoder = towers.settle(towers.tower(6), 2)
    model = ContrastiveTrainer(encoder, augmenters=towers.Shift(), projectors=projector)
    model.compile(keras.optimizers.SGD(0.5), NTXent())
    model.fit(x, batch_size=4, verbose=0)
    embedder = model.embedder()
    before = embedder.predict(x, verbose=0)
    assert before == near(units(model.predict(x, verbose=0)))
    model.fit(x, batch_size=4, verbose=0)
    after = embedder.predict(x, verbose=0)
    assert np.abs(after - before).max() > 1e-3
    assert after == near(units(model.predict(x, verbose=0)))
    assert embedder.predict_on_batch(x) == near(after)
    representation = model.embedder(projected=False, normalize=False)
    assert numbers(representation(x)) == near(numbers(encoder(x)))


def test_it_holds_the_weights_of_its_tower_only():
    model = separated()
    layers = (model.encoders["text"], model.projectors["text"])
    expected = [id(weight) for layer in layers for weight in layer.weights]
    assert [id(weight) for weight in model.embedder("text").weights] == expected


def test_dropout_does_not_run_in_it():
    tower = keras.Sequential([keras.Input((6,)), keras.layers.Dropout(0.9)])
    embedder = ContrastiveTrainer({"image": tower}).embedder("image", normalize=False)
    x = towers.pairs(5)["image"]
    assert numbers(embedder(x, training=True)) == near(x)


def test_it_embeds_before_the_trainer_is_called():
    model, x = ContrastiveTrainer(towers.towers()), towers.pairs(5)
    vectors = model.embedder("text").predict(x["text"].tolist(), verbose=0)
    assert vectors == near(units(numbers(model.encoders["text"](x["text"]))))


@pytest.fixture(scope="module")
def fusion():
    return fusion_trainers.fusion_trainer(teacher=None, masked_language=None)


def test_fusion_towers_have_embedders(fusion, tmp_path):
    x = fusion_trainers.data(4)
    outputs = fusion(x)
    for name in ("image", "text"):
        embedder = fusion.embedder(name)
        assert numbers(embedder(x[name])) == near(units(numbers(outputs[name])))
        alone = fusion({name: x[name]})
        assert numbers(alone[name]) == near(numbers(outputs[name]))
    again = saved_and_loaded(embedder, tmp_path)
    assert numbers(again(x["text"])) == near(numbers(embedder(x["text"])))
    with pytest.raises(ValueError, match=r"`x` must be token ids in \[0, 16\)"):
        embedder.predict(x["text"] + 99)


# Saving


def saved_and_loaded(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def test_it_is_saved_and_loaded(tmp_path):
    x = towers.pairs(5)["image"]
    embedder = separated().embedder("image_independent", truncate=3)
    again = saved_and_loaded(embedder, tmp_path)
    assert again.truncate == 3
    assert numbers(again(x)) == near(numbers(embedder(x)))


def test_a_loaded_trainer_has_embedders_that_know_their_inputs(fusion, tmp_path):
    """Token ids are saved as integers, although the encoder is no functional model."""
    for trainer in (fusion, saved_and_loaded(fusion, tmp_path)):
        config = trainer.embedder("text").get_build_config()
        assert (config["inputs"].shape, config["inputs"].dtype) == ((None, 7), "int32")


# Raw rows

WORDS = ["a", "word", "of", "text", "here"]


@keras.saving.register_keras_serializable(package="tests")
def lengths_of(words):
    return np.array([[len(word)] * 5 for word in words], "float32")


@pytest.mark.parametrize("rows", [WORDS, np.array(WORDS), np.array(WORDS, object)])
def test_a_preprocessor_takes_strings_batch_by_batch(rows):
    seen = []

    def tokenize(words):
        seen.append(list(words))
        return lengths_of(words)

    model = ContrastiveTrainer(towers.towers())
    embedder = model.embedder("text", preprocessor=tokenize)
    expected = units(numbers(model.encoders["text"](lengths_of(WORDS))))
    assert embedder.predict(rows, batch_size=2, verbose=0) == near(expected)
    assert {len(words) for words in seen} == {1, 2}
    assert {word for words in seen for word in words} == set(WORDS)
    assert embedder.predict_on_batch(WORDS[:2]) == near(expected[:2])


def test_a_registered_preprocessor_is_saved(tmp_path):
    model = separated()
    again = saved_and_loaded(model.embedder("text", preprocessor=lengths_of), tmp_path)
    expected = numbers(model.embedder("text")(lengths_of(WORDS)))
    assert again.predict(WORDS, verbose=0) == near(expected)


class Tokenizer:
    """A callable that Keras cannot save."""

    def __call__(self, words):
        return lengths_of(words)


def test_another_preprocessor_can_be_set_after_loading(tmp_path):
    model, tokenizer = separated(), Tokenizer()
    with pytest.raises(ValueError, match=r"`preprocessor` must be a registered function"):
        model.embedder("text", preprocessor=tokenizer).save(tmp_path / "no.keras")
    again = saved_and_loaded(model.embedder("text"), tmp_path)
    again.preprocessor = tokenizer
    expected = numbers(model.embedder("text")(lengths_of(WORDS)))
    assert again.predict(WORDS, verbose=0) == near(expected)


def test_a_layer_is_a_preprocessor_too(tmp_path):
    model, x = separated(), towers.pairs(3)["text"]
    embedder = model.embedder("text", preprocessor=keras.layers.Rescaling(0.5))
    again = saved_and_loaded(embedder, tmp_path)
    expected = near(numbers(model.embedder("text")(x / 2)))
    assert embedder.predict(x, verbose=0) == expected
    assert again.predict(x, verbose=0) == expected
    assert not [w for w in embedder.weights if "rescaling" in w.path]


# Some modalities


def test_predict_returns_the_modalities_that_it_gets():
    model, x = separated(), towers.pairs(5)
    expected = model.predict(x, verbose=0)
    found = model.predict({"image": x["image"]}, verbose=0)
    assert sorted(found) == ["image", "image_independent"]
    for name, rows in found.items():
        assert rows == near(expected[name])
    assert sorted(model.predict_on_batch({"text": x["text"]})) == ["text", "text_independent"]


@pytest.mark.slow_to_compile
def test_a_model_that_has_predicted_one_modality_trains_and_loads_with_both(tmp_path):
    projectors = {name: keras.layers.Dense(3) for name in ("image", "text")}
    regularizer = DeepFeatureSeparation(contrast=0.0)
    model = ContrastiveTrainer(towers.towers(), projectors=projectors, regularizers=[regularizer])
    x = towers.pairs(6)
    assert list(model({"image": x["image"]})) == ["image"]
    model.compile("sgd", InfoNCE(), run_eagerly=True)
    model.fit(x, verbose=0)
    expected, found = model(x), saved_and_loaded(model, tmp_path)(x)
    assert sorted(found) == sorted(NAMES)
    for name in NAMES:
        assert numbers(found[name]) == near(numbers(expected[name]))


def test_a_row_that_lacks_the_modality_is_zero():
    model = ContrastiveTrainer(towers.towers(), present={"has_image": "image"})
    x = {"image": towers.pairs(3)["image"], "has_image": np.array([True, False, True])}
    found = model(x)["image"]
    assert (np.linalg.norm(numbers(found), axis=1) > 0).tolist() == [True, False, True]


def test_inputs_for_training_may_stay():
    model = ContrastiveTrainer(
        towers.towers(),
        hard_negatives={"wrong": "text"},
        hard_negative_ids={"wrong_id": "wrong"},
        present={"has_text": "text"},
    )
    x, rows = towers.pairs(3), np.arange(3)
    x = {"image": x["image"], "wrong": x["text"], "wrong_id": rows, "has_text": rows > 0}
    assert list(model.predict(x, verbose=0)) == ["image"]


@pytest.mark.parametrize("name", ["images", "label"])
def test_a_name_that_may_be_misspelled_raises(name):
    x = towers.pairs(3)
    with pytest.raises(ValueError, match=f"`x` must have the inputs image, text, .*, {name}"):
        separated().predict({"text": x["text"], name: x["image"]}, verbose=0)


def test_a_training_step_needs_all_modalities():
    with pytest.raises(ValueError, match="Add text"):
        separated()({"image": towers.pairs(3)["image"]}, training=True)


# Mistakes


class OtherEncoding(ContrastiveTrainer):
    def encode(self, name, inputs, training):
        return 2 * super().encode(name, inputs, training)


class OtherProjection(OtherEncoding):
    def embedding_layers(self, modality, projected):
        return [*super().embedding_layers(modality, projected), keras.layers.Rescaling(2)]


def test_a_subclass_that_embeds_in_another_way_says_so():
    x = towers.pairs(4)
    with pytest.raises(TypeError, match=r"`OtherEncoding` must override `embedding_layers`"):
        OtherEncoding(towers.towers()).embedder("image")
    model = OtherProjection(towers.towers())
    embedder = model.embedder("image", normalize=False)
    assert numbers(embedder(x["image"])) == near(numbers(model(x)["image"]))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "`modality` must be one of image, text, image_independent, text_indep"),
        ({"modality": "img"}, ValueError, "one of image, .*Received: modality='img'"),
        ({"modality": ["image"]}, TypeError, "`modality` must be `None` or a string"),
        ({"modality": "image", "truncate": 0}, ValueError, "`truncate` must be `None` or a posit"),
        ({"modality": "image", "truncate": 2.0}, TypeError, "`truncate` must be `None` or a pos"),
        ({"modality": "image", "truncate": 5}, ValueError, r"`truncate` must be in \[1, 4\]"),
        ({"modality": "image", "normalize": None}, TypeError, "`normalize` must be a bool"),
        ({"modality": "image", "projected": 1}, TypeError, "`projected` must be a bool"),
        ({"modality": "image", "preprocessor": 3}, TypeError, "`preprocessor` must be `None` or"),
        (
            {"modality": "image_independent", "projected": False},
            ValueError,
            "`projected` must be True for 'image_independent'",
        ),
    ],
)
def test_wrong_arguments_raise_at_once(arguments, error, message):
    with pytest.raises(error, match=message):
        separated().embedder(**arguments)


def test_one_encoder_has_no_names():
    model = ContrastiveTrainer(towers.tower(6), augmenters=towers.Shift())
    with pytest.raises(ValueError, match="`modality` must be `None`, because the trainer has one"):
        model.embedder("image")


def test_independent_features_need_a_built_trainer():
    model = ContrastiveTrainer(towers.towers(), regularizers=[DeepFeatureSeparation(contrast=0.0)])
    with pytest.raises(ValueError, match="must be built before it embeds 'image_independent'"):
        model.embedder("image_independent")


def test_truncate_is_checked_before_the_tower_runs():
    calls = []

    class Counting(keras.layers.Layer):
        def call(self, inputs):
            if not isinstance(inputs, keras.KerasTensor):
                calls.append(inputs.shape)
            return inputs

    embedder = ContrastiveTrainer({"image": Counting()}).embedder("image", truncate=5)
    with pytest.raises(ValueError, match=r"`truncate` must be in \[1, 3\]"):
        embedder.predict(np.eye(3), verbose=0)
    assert 3 not in [rows for rows, _ in calls]


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (towers.pairs(3), TypeError, "`x` must be the input of one encoder, an array"),
        (np.zeros((0, 6)), ValueError, "`x` must have rows"),
    ],
)
def test_wrong_inputs_raise(x, error, message):
    with pytest.raises(error, match=message):
        separated().embedder("image").predict(x, verbose=0)


@pytest.mark.parametrize("x", ["a word", [], iter(WORDS), {"text": WORDS}, np.array([])])
def test_wrong_raw_rows_raise(x):
    embedder = separated().embedder("text", preprocessor=lengths_of)
    with pytest.raises(TypeError, match="`x` must be a list or an array of raw rows"):
        embedder.predict(x, verbose=0)


def test_a_preprocessor_returns_one_row_for_each():
    embedder = separated().embedder("text", preprocessor=lambda words: lengths_of(words)[1:])
    with pytest.raises(ValueError, match=r"`preprocessor` must return .* Received: 4 rows for 5"):
        embedder.predict_on_batch(WORDS)


def test_the_shape_of_the_first_call_is_that_of_an_export():
    layers = [keras.layers.Embedding(9, 4), keras.layers.GlobalAveragePooling1D()]
    model = ContrastiveTrainer({"text": keras.Sequential(layers), "image": keras.layers.Dense(4)})
    embedder = model.embedder("text")
    for length in (7, 3):
        embedder.predict(np.ones((5, length), "int32"), verbose=0)
    assert embedder.get_build_config()["inputs"].shape == (None, 7)
