"""Encoders from Keras models: pooling, inputs, projection, trained blocks, saving."""

import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.encoders import BackboneBias, BackboneTemperature, Encoder
from keras_contrastive.losses import GammaContrastive, SigmoidContrastive

ROWS, LENGTH, DIM = 8, 5, 6
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]] * 2, "int32")
IDS = np.array([[3, 9, 1, 0, 0], [1, 2, 3, 4, 9], [0, 0, 9, 5, 0], [0, 0, 0, 0, 0]] * 2, "int32")


def text_backbone(outputs=1, names=("token_ids", "padding_mask"), dropout=0.0):
    """Returns an embedding and two blocks. A second output has an additional layer."""
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    x = keras.layers.Embedding(10, DIM, name="embedding")(inputs["token_ids"])
    # Keras 3.12 demands that each input is used.
    for name in inputs.keys() - {"token_ids"}:
        x += 0 * ops.cast(inputs[name], x.dtype)[..., None]
    for n in range(2):
        x = keras.layers.Dense(DIM, activation="tanh", name=f"block_{n}")(
            keras.layers.Dropout(dropout)(x)
        )
    if outputs == 1:
        return keras.Model(inputs, x)
    pooled = keras.layers.Dense(DIM, name="pooler")(x[:, 0])
    return keras.Model(inputs, {"sequence_output": x, "pooled_output": pooled})


def image_backbone(data_format=None):
    layers = [
        keras.layers.Conv2D(4, 3, name=f"conv_{n}", data_format=data_format) for n in range(2)
    ]
    return keras.Sequential(
        [keras.Input((8, 8, 3) if data_format != "channels_first" else (3, 8, 8)), *layers]
    )


def numpy(x):
    return np.asarray(ops.convert_to_numpy(x))


def sequences(backbone, inputs):
    outputs = backbone(inputs)
    return numpy(outputs["sequence_output"] if isinstance(outputs, dict) else outputs)


TEXT = {"token_ids": IDS, "padding_mask": MASK}


LAST = [max((i for i in range(LENGTH) if mask[i]), default=0) for mask in MASK]
EXPECTED = {
    "mean": lambda x: np.stack(
        [
            row[mask > 0].mean(0) if mask.any() else np.zeros(DIM)
            for row, mask in zip(x, MASK, strict=True)
        ]
    ),
    "last_token": lambda x: x[np.arange(ROWS), LAST],
    "end_of_text": lambda x: x[np.arange(ROWS), IDS.argmax(1)],
    "class_token": lambda x: x[:, 0],
}


@pytest.mark.parametrize("pooling", EXPECTED)
def test_pooling_of_sequences_uses_the_mask(pooling):
    backbone = text_backbone()
    expected = EXPECTED[pooling](sequences(backbone, TEXT))
    found = numpy(Encoder(backbone, pooling=pooling)(TEXT))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_without_a_mask_all_positions_are_pooled():
    backbone = text_backbone(names=("token_ids",))
    x = sequences(backbone, {"token_ids": IDS})
    for pooling, expected in (("mean", x.mean(1)), ("last_token", x[:, -1])):
        found = numpy(Encoder(backbone, pooling=pooling)(IDS))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_feature_maps_are_averaged(rng):
    backbone, x = image_backbone(), rng.normal(size=(ROWS, 8, 8, 3)).astype("float32")
    expected = numpy(backbone(x)).mean((1, 2))
    for pooling in ("auto", "mean"):
        found = numpy(Encoder(backbone, pooling=pooling)(x))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_channels_first_projects_the_channels():
    keras.config.set_image_data_format("channels_first")
    # Symbolic only: not every backend has this convolution on a CPU.
    try:
        encoder = Encoder(image_backbone("channels_first"), projection_dim=3)
        assert encoder(keras.Input((3, 8, 8))).shape == (None, 3)
        assert [tuple(weight.shape) for weight in encoder.projection.weights] == [(4, 3)]
    finally:
        keras.config.set_image_data_format("channels_last")


def test_vectors_are_not_pooled(rng):
    backbone = keras.Sequential([keras.Input((7,)), keras.layers.Dense(4)])
    x = rng.normal(size=(ROWS, 7)).astype("float32")
    np.testing.assert_allclose(numpy(Encoder(backbone)(x)), numpy(backbone(x)), atol=1e-6)


def test_the_mean_of_a_long_sequence_does_not_overflow_in_float16():
    inputs = keras.Input((4000, 2), dtype="float16")
    backbone = keras.Model(inputs, keras.layers.Identity(dtype="float16")(inputs))
    x = np.full((2, 4000, 2), 100.0, "float16")
    found = numpy(Encoder(backbone, pooling="mean", dtype="float16")(x))
    assert found.dtype == "float16"
    np.testing.assert_array_equal(found, 100.0)


def test_inputs_can_have_the_names_of_hugging_face():
    encoder = Encoder(text_backbone(), pooling="mean")
    inputs = {
        "input_ids": IDS.astype("int64"),
        "attention_mask": MASK.astype("int64"),
        "special_tokens_mask": MASK,
    }
    np.testing.assert_allclose(numpy(encoder(inputs)), numpy(encoder(TEXT)), atol=1e-6)


def test_missing_segments_are_zeros():
    backbone = text_backbone(names=("token_ids", "padding_mask", "segment_ids"))
    encoder = Encoder(backbone, pooling="mean")
    zeros = {"segment_ids": np.zeros_like(IDS)}
    expected = numpy(encoder({**TEXT, **zeros}))
    np.testing.assert_allclose(numpy(encoder(TEXT)), expected, atol=1e-6)
    inputs = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": np.zeros_like(IDS)}
    np.testing.assert_allclose(numpy(encoder(inputs)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (IDS, TypeError, "must be a dict with token_ids, padding_mask"),
        ([IDS, MASK], TypeError, "must be a dict with token_ids, padding_mask. Received: list"),
        ({"token_ids": IDS}, ValueError, r"entries token_ids, padding_mask.*Add padding_mask\."),
        ({"pixel_values": IDS}, ValueError, "Received: pixel_values.*Transpose them"),
    ],
)
def test_wrong_inputs_raise_with_the_reason(inputs, error, message):
    with pytest.raises(error, match=message):
        Encoder(text_backbone(), pooling="mean")(inputs)


def subclassed():
    class Plain(keras.Model):
        def call(self, x):
            return x

    return Plain()


def two_outputs():
    inputs = keras.Input((3,))
    return keras.Model(inputs, [inputs + 1, inputs + 2])


UNKNOWN = "a Functional or Sequential model"
WRONG_ARGUMENTS = [
    (lambda: Encoder(3), TypeError, "must be a model of keras-hub.*Received: backbone=3"),
    (lambda: Encoder(keras.layers.Dense(3)), TypeError, "`backbone` must be a model"),
    (lambda: Encoder(subclassed()), ValueError, f"{UNKNOWN}.*Received: `Plain`"),
    (lambda: Encoder(keras.Sequential([keras.layers.Dense(3)])), ValueError, UNKNOWN),
    (lambda: Encoder(text_backbone()), ValueError, "unknown family.*backbone=`Functional`"),
    (lambda: Encoder(text_backbone(), pooling="max"), ValueError, "'auto' or one of.*'max'"),
    (
        lambda: Encoder(image_backbone(), pooling="class_token"),
        *(ValueError, "must be 'auto' unless the output of `backbone` is a sequence"),
    ),
    (lambda: Encoder(image_backbone(), 0), ValueError, "Received: projection_dim=0"),
    (lambda: Encoder(image_backbone(), 1.5), TypeError, "Received: projection_dim=1.5"),
    (lambda: Encoder(image_backbone(), trainable_blocks=3), ValueError, r"\[0, 2\].*_blocks=3"),
    (lambda: Encoder(image_backbone(), trainable_blocks=-1), ValueError, r"\[0, 2\].*_blocks=-1"),
    (lambda: Encoder(image_backbone(), trainable_blocks=True), TypeError, r"\[0, 2\].*=True"),
    (lambda: Encoder(two_outputs()), ValueError, "must have one output.*2 without names"),
]


@pytest.mark.parametrize(("make", "error", "message"), WRONG_ARGUMENTS)
def test_wrong_arguments_raise_with_the_reason(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_preset_without_keras_hub_raises_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match=r"pip install keras-hub.*backbone='bert_tiny'"):
        Encoder("bert_tiny")


@pytest.mark.parametrize("name", ["MobileNetV3Small", "ResNet50", "efficientnet_b0", "resnet50v2"])
def test_a_name_of_keras_applications_raises_with_the_call(name):
    with pytest.raises(ValueError, match=r"Pass `keras.applications.\w+\(include_top=False\)`"):
        Encoder(name)


def classifier(*last):
    return keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), *last])


CLASSIFIERS = {
    "dense": lambda: classifier(keras.layers.Dense(3, activation="softmax")),
    "softmax": lambda: classifier(keras.layers.Dense(3), keras.layers.Softmax()),
    "activation": lambda: classifier(keras.layers.Activation("softmax")),
    "logits": lambda: classifier(keras.layers.Dense(3, name="predictions")),
}


@pytest.mark.parametrize("make", CLASSIFIERS.values(), ids=CLASSIFIERS.keys())
def test_a_backbone_with_a_classifier_on_top_raises(make):
    with pytest.raises(ValueError, match=r"not classes.*`include_top=False`.*layers\[-2\]"):
        Encoder(make())


def test_a_classifier_of_keras_hub_raises_with_its_backbone():
    class TextClassifier(keras.Sequential):
        backbone = classifier()

    with pytest.raises(ValueError, match=r"Received: `TextClassifier`.*its `backbone` attribute"):
        Encoder(TextClassifier([keras.Input((4, 4, 3)), keras.layers.Flatten()]))


def names(weights):
    return {weight.path.split("/")[0] for weight in weights}


def test_trainable_blocks_counts_from_the_end():
    encoder = Encoder(text_backbone(), projection_dim=3, pooling="mean", trainable_blocks=1)
    assert encoder.blocks == ["embedding", "block_0", "block_1"]
    assert names(encoder.trainable_weights) == {"block_1", "projection"}
    encoder.trainable_blocks = 0
    assert names(encoder.trainable_weights) == {"projection"}
    encoder.trainable_blocks = 2
    assert names(encoder.trainable_weights) == {"block_0", "block_1", "projection"}
    encoder.trainable_blocks = "all"
    assert names(encoder.trainable_weights) == {"embedding", "block_0", "block_1", "projection"}


def test_none_does_not_change_the_backbone():
    backbone = text_backbone()
    backbone.get_layer("embedding").trainable = False
    encoder = Encoder(backbone, pooling="mean")
    assert names(encoder.trainable_weights) == {"block_0", "block_1"}


@keras.saving.register_keras_serializable(package="tests")
class Stack(keras.layers.Layer):
    """A list of blocks, and a weight outside of them, as in vision transformers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.listed = [keras.layers.Dense(DIM, name=f"listed_{n}") for n in range(3)]
        self.norm = keras.layers.LayerNormalization(name="norm")

    def build(self, shape):
        self.position = self.add_weight(shape=(1, DIM), name="position")
        for layer in [*self.listed, self.norm]:
            layer.build(shape)

    def call(self, x):
        x = x + self.position
        for layer in self.listed:
            x = layer(x)
        return self.norm(x)


def test_layers_in_a_list_are_separate_blocks(tmp_path):
    inputs = keras.Input((4, DIM))
    backbone = keras.Model(
        inputs, Stack(name="stack")(keras.layers.Dense(DIM, name="patches")(inputs))
    )
    encoder = Encoder(backbone, pooling="class_token", trainable_blocks=2)
    assert encoder.blocks == ["patches", "listed_0", "listed_1", "listed_2", "norm"]
    encoder.save(tmp_path / "encoder.keras")
    for model in (encoder, keras.models.load_model(tmp_path / "encoder.keras")):
        trained = {weight.path.split("/")[1] for weight in model.trainable_weights}
        assert trained == {"listed_2", "norm"}


def test_layers_of_other_outputs_are_not_trained():
    encoder = Encoder(text_backbone(outputs=2), pooling="mean", trainable_blocks="all")
    assert encoder.blocks == ["embedding", "block_0", "block_1"]
    assert names(encoder.trainable_weights) == {"embedding", "block_0", "block_1"}
    encoder.trainable_blocks = 1
    assert names(encoder.trainable_weights) == {"block_1"}
    np.testing.assert_allclose(
        numpy(encoder(TEXT))[1], sequences(encoder.backbone, TEXT)[1].mean(0), atol=1e-6
    )


def test_a_frozen_backbone_runs_without_dropout():
    frozen = Encoder(text_backbone(dropout=0.5), pooling="mean", trainable_blocks=0)
    assert np.array_equal(numpy(frozen(TEXT, training=True)), numpy(frozen(TEXT)))
    frozen.trainable_blocks = 1
    assert not np.array_equal(numpy(frozen(TEXT, training=True)), numpy(frozen(TEXT)))


@pytest.mark.parametrize("trainable_blocks", [None, 0, 1, "all"])
def test_a_loaded_encoder_trains_the_same_blocks(trainable_blocks, tmp_path):
    encoder = Encoder(text_backbone(outputs=2), 3, "mean", trainable_blocks, name="text")
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    np.testing.assert_allclose(
        loaded.predict(TEXT, verbose=0), encoder.predict(TEXT, verbose=0), atol=1e-6
    )
    assert names(loaded.trainable_weights) == names(encoder.trainable_weights)
    assert (loaded.name, loaded.trainable_blocks, loaded.pooling) == (
        "text",
        trainable_blocks,
        "mean",
    )


# In a trainer. One trained model serves all tests.


def data():
    generator = np.random.default_rng(1)
    text = {**TEXT, "padding_mask": np.maximum(MASK, np.eye(LENGTH, dtype="int32")[0])}
    return {"image": generator.normal(size=(ROWS, 8, 8, 3)).astype("float32"), "text": text}


class Trained:
    """A trainer after two epochs: a frozen image encoder, a partly frozen text encoder."""

    def __init__(self):
        self.scale = keras.Variable(0.5, name="logit_scale")
        self.bias = keras.Variable(-1.0, name="logit_bias")
        encoders = {
            "image": Encoder(image_backbone(), DIM, trainable_blocks=0),
            "text": Encoder(text_backbone(), DIM, pooling="mean", trainable_blocks=1),
        }
        self.before = {name: weights_of(encoder) for name, encoder in encoders.items()}
        self.model = ContrastiveTrainer(encoders, hard_negatives={"wrong": "text"})
        self.loss = SigmoidContrastive(BackboneTemperature(self.scale), BackboneBias(self.bias))
        self.model.compile(keras.optimizers.Adam(0.1), self.loss)
        x = data()
        x["wrong"] = {name: array[::-1] for name, array in x["text"].items()}
        self.history = self.model.fit(
            x, batch_size=4, epochs=2, validation_data=(x, None), verbose=0
        ).history


def weights_of(encoder):
    return {weight.path: numpy(weight) for weight in encoder.weights}


@pytest.fixture(scope="module")
def trained():
    return Trained()


@pytest.mark.slow_to_compile
def test_a_modality_can_be_a_dict_of_arrays(trained):
    assert np.isfinite(trained.history["loss"] + trained.history["val_loss"]).all()


@pytest.mark.full
def test_rows_of_dicts_are_numbered_for_a_loss_with_state_per_item():
    encoders = {
        "image": Encoder(image_backbone(), DIM),
        "text": Encoder(text_backbone(), DIM, pooling="mean"),
    }
    model = ContrastiveTrainer(encoders)
    model.compile("sgd", GammaContrastive(num_items=ROWS))
    assert np.isfinite(model.fit(data(), batch_size=4, verbose=0).history["loss"][0])


def test_training_changes_only_the_trained_blocks_and_the_projections(trained):
    changed = {
        name: {
            path.split("/")[0]
            for path, weight in weights_of(encoder).items()
            if not np.array_equal(weight, trained.before[name][path])
        }
        for name, encoder in trained.model.encoders.items()
    }
    assert changed == {"image": {"projection"}, "text": {"block_1", "projection"}}


def test_a_loss_trains_the_temperature_and_the_bias_of_the_backbone(trained):
    weights = trained.model.trainable_variables
    for weight in (trained.scale, trained.bias):
        assert [weight is other for other in weights].count(True) == 1
    assert float(numpy(trained.scale)) != 0.5
    assert float(numpy(trained.bias)) != -1.0
    expected = np.exp(float(numpy(trained.scale)))
    assert float(numpy(trained.loss.temperature.scale)) == pytest.approx(expected, rel=1e-5)


def test_a_loaded_trainer_gives_the_same_embeddings(trained, tmp_path):
    trained.model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name, encoder in trained.model.encoders.items():
        expected = numpy(encoder(data()[name]))
        np.testing.assert_allclose(numpy(loaded.encoders[name](data()[name])), expected, atol=1e-6)
    assert len(loaded.trainable_weights) == len(trained.model.trainable_weights)


# The temperature and the bias of a backbone


def test_an_optimizer_respects_the_bound_of_the_temperature():
    scale = keras.Variable(np.log(90.0).astype("float32"), name="logit_scale")
    BackboneTemperature(scale)
    keras.optimizers.SGD(1.0).apply([ops.convert_to_tensor(-1.0)], [scale])
    assert float(numpy(scale)) == pytest.approx(np.log(100.0), abs=1e-6)


def test_a_temperature_and_a_bias_from_their_configs_have_the_same_values():
    temperature = BackboneTemperature(keras.Variable(1.25), lowest=0.02)
    again = BackboneTemperature.from_config(temperature.get_config())
    again.build()
    assert float(numpy(again.log_scale)) == 1.25
    assert again.lowest == 0.02
    bias = BackboneBias.from_config(BackboneBias(keras.Variable(-3.0)).get_config())
    bias.build()
    assert float(numpy(bias.bias)) == -3.0
