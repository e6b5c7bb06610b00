"""Encoders from models that Keras itself makes: pooling, inputs, projection, what is trained, saving."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.encoders import BackboneBias, BackboneTemperature, Encoder
from keras_contrastive.losses import GammaContrastive, InfoNCE, SigmoidContrastive

ROWS, LENGTH, DIM = 8, 5, 6
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]] * 2, "int32")
IDS = np.array([[3, 9, 1, 0, 0], [1, 2, 3, 4, 9], [0, 0, 9, 5, 0], [0, 0, 0, 0, 0]] * 2, "int32")


def text_backbone(outputs=1, names=("token_ids", "padding_mask"), dropout=0.0):
    """Embedding, two blocks, and a second output with a layer of its own if asked for."""
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    x = keras.layers.Embedding(10, DIM, name="embedding")(inputs["token_ids"])
    for name in inputs.keys() - {
        "token_ids"
    }:  # read, as Keras 3.12 demands of each input, and of no effect
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


def test_the_mean_is_over_what_the_mask_leaves():
    backbone = text_backbone()
    x = sequences(backbone, TEXT)
    expected = np.stack(
        [
            row[mask > 0].mean(0) if mask.any() else np.zeros(DIM)
            for row, mask in zip(x, MASK, strict=True)
        ]
    )
    np.testing.assert_allclose(numpy(Encoder(backbone, pooling="mean")(TEXT)), expected, atol=1e-6)


def test_the_last_token_is_the_last_that_the_mask_leaves():
    backbone = text_backbone()
    x = sequences(backbone, TEXT)
    last = [max((i for i in range(LENGTH) if mask[i]), default=0) for mask in MASK]
    expected = x[np.arange(ROWS), last]
    np.testing.assert_allclose(
        numpy(Encoder(backbone, pooling="last_token")(TEXT)), expected, atol=1e-6
    )


def test_the_end_of_text_is_the_highest_token():
    backbone = text_backbone()
    expected = sequences(backbone, TEXT)[np.arange(ROWS), IDS.argmax(1)]
    np.testing.assert_allclose(
        numpy(Encoder(backbone, pooling="end_of_text")(TEXT)), expected, atol=1e-6
    )


def test_the_class_token_is_the_first():
    backbone = text_backbone()
    expected = sequences(backbone, TEXT)[:, 0]
    np.testing.assert_allclose(
        numpy(Encoder(backbone, pooling="class_token")(TEXT)), expected, atol=1e-6
    )


def test_without_a_mask_all_positions_count():
    backbone = text_backbone(names=("token_ids",))
    x = sequences(backbone, {"token_ids": IDS})
    for pooling, expected in (("mean", x.mean(1)), ("last_token", x[:, -1])):
        np.testing.assert_allclose(
            numpy(Encoder(backbone, pooling=pooling)(IDS)), expected, atol=1e-6
        )


def test_feature_maps_are_averaged(rng):
    backbone, x = image_backbone(), rng.normal(size=(ROWS, 8, 8, 3)).astype("float32")
    expected = numpy(backbone(x)).mean((1, 2))
    for pooling in ("auto", "mean"):
        np.testing.assert_allclose(
            numpy(Encoder(backbone, pooling=pooling)(x)), expected, atol=1e-5
        )


def test_channels_that_come_first_stay_features():
    keras.config.set_image_data_format("channels_first")
    try:  # built, not run: not every backend convolves so on a CPU
        encoder = Encoder(image_backbone("channels_first"), projection_dim=3)
        assert encoder(keras.Input((3, 8, 8))).shape == (None, 3)
        assert [tuple(weight.shape) for weight in encoder.projection.weights] == [(4, 3)]
    finally:
        keras.config.set_image_data_format("channels_last")


def test_vectors_stay_as_they_are(rng):
    backbone = keras.Sequential([keras.Input((7,)), keras.layers.Dense(4)])
    x = rng.normal(size=(ROWS, 7)).astype("float32")
    np.testing.assert_allclose(numpy(Encoder(backbone)(x)), numpy(backbone(x)), atol=1e-6)


def test_long_sums_do_not_overflow_float16():
    inputs = keras.Input((4000, 2), dtype="float16")
    backbone = keras.Model(inputs, keras.layers.Identity(dtype="float16")(inputs))
    x = np.full((2, 4000, 2), 100.0, "float16")
    found = numpy(Encoder(backbone, pooling="mean", dtype="float16")(x))
    assert found.dtype == "float16"
    np.testing.assert_array_equal(found, 100.0)


def test_the_names_of_hugging_face_are_understood():
    encoder = Encoder(text_backbone(), pooling="mean")
    theirs = {
        "input_ids": IDS.astype("int64"),
        "attention_mask": MASK.astype("int64"),
        "special_tokens_mask": MASK,
    }
    np.testing.assert_allclose(numpy(encoder(theirs)), numpy(encoder(TEXT)), atol=1e-6)


def test_absent_segments_are_zeros():
    backbone = text_backbone(names=("token_ids", "padding_mask", "segment_ids"))
    encoder = Encoder(backbone, pooling="mean")
    zeros = {"segment_ids": np.zeros_like(IDS)}
    expected = numpy(encoder({**TEXT, **zeros}))
    np.testing.assert_allclose(numpy(encoder(TEXT)), expected, atol=1e-6)
    theirs = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": np.zeros_like(IDS)}
    np.testing.assert_allclose(numpy(encoder(theirs)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (IDS, TypeError, "takes a dict with token_ids, padding_mask"),
        ([IDS, MASK], TypeError, "takes a dict with token_ids, padding_mask. Received: list"),
        (
            {"token_ids": IDS},
            ValueError,
            r"lacks the inputs padding_mask\. Expected: token_ids, padding_mask",
        ),
        ({"pixel_values": IDS}, ValueError, "lacks.*Received: pixel_values.*channels come first"),
    ],
)
def test_wrong_inputs_are_refused(inputs, error, message):
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


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Encoder(3),
            TypeError,
            "`backbone` must be a model of keras-hub.*Received: backbone=3",
        ),
        (lambda: Encoder(keras.layers.Dense(3)), TypeError, "`backbone` must be a model"),
        (lambda: Encoder(subclassed()), ValueError, "Functional or Sequential.*Received: `Plain`"),
        (
            lambda: Encoder(keras.Sequential([keras.layers.Dense(3)])),
            ValueError,
            "Functional or Sequential",
        ),
        (
            lambda: Encoder(text_backbone()),
            ValueError,
            "family of `Functional` is not known.*pass `pooling`",
        ),
        (
            lambda: Encoder(text_backbone(), pooling="max"),
            ValueError,
            "must be 'auto' or one of mean.*pooling='max'",
        ),
        (
            lambda: Encoder(image_backbone(), pooling="class_token"),
            ValueError,
            "needs a backbone whose output is seq",
        ),
        (
            lambda: Encoder(image_backbone(), projection_dim=0),
            ValueError,
            "positive integer. Received: projection_dim=0",
        ),
        (
            lambda: Encoder(image_backbone(), trainable_blocks=3),
            ValueError,
            r"\[0, 2\].*trainable_blocks=3",
        ),
        (
            lambda: Encoder(image_backbone(), trainable_blocks=-1),
            ValueError,
            r"\[0, 2\].*trainable_blocks=-1",
        ),
        (
            lambda: Encoder(image_backbone(), trainable_blocks=True),
            ValueError,
            r"\[0, 2\].*trainable_blocks=True",
        ),
        (lambda: Encoder(two_outputs()), ValueError, "must have one output.*2 without names"),
    ],
)
def test_wrong_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_preset_without_keras_hub_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "keras_hub", None)
    with pytest.raises(
        ImportError, match=r"pip install keras-hub. Received: backbone='bert_tiny_en_uncased'"
    ):
        Encoder("bert_tiny_en_uncased")


def names(weights):
    return {weight.path.split("/")[0] for weight in weights}


def test_blocks_are_trained_from_the_end():
    encoder = Encoder(text_backbone(), projection_dim=3, pooling="mean", trainable_blocks=1)
    assert encoder.blocks == ["embedding", "block_0", "block_1"]
    assert names(encoder.trainable_weights) == {"block_1", "projection"}
    encoder.trainable_blocks = 0
    assert names(encoder.trainable_weights) == {"projection"}
    encoder.trainable_blocks = 2
    assert names(encoder.trainable_weights) == {"block_0", "block_1", "projection"}
    encoder.trainable_blocks = "all"
    assert names(encoder.trainable_weights) == {"embedding", "block_0", "block_1", "projection"}


def test_none_leaves_the_backbone_as_it_is():
    backbone = text_backbone()
    backbone.get_layer("embedding").trainable = False
    encoder = Encoder(backbone, pooling="mean")
    assert names(encoder.trainable_weights) == {"block_0", "block_1"}


@keras.saving.register_keras_serializable(package="tests")
class Stack(keras.layers.Layer):
    """Blocks in a list, with a weight beside them, as vision transformers have."""

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


def test_blocks_in_a_list_count_one_by_one(tmp_path):
    inputs = keras.Input((4, DIM))
    backbone = keras.Model(
        inputs, Stack(name="stack")(keras.layers.Dense(DIM, name="patches")(inputs))
    )
    encoder = Encoder(backbone, pooling="class_token", trainable_blocks=2)
    assert encoder.blocks == ["patches", "listed_0", "listed_1", "listed_2", "norm"]
    assert {weight.path.split("/")[1] for weight in encoder.trainable_weights} == {
        "listed_2",
        "norm",
    }
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    assert {weight.path.split("/")[1] for weight in loaded.trainable_weights} == {
        "listed_2",
        "norm",
    }


def test_layers_that_only_another_output_needs_are_not_trained():
    encoder = Encoder(text_backbone(outputs=2), pooling="mean", trainable_blocks="all")
    assert encoder.blocks == ["embedding", "block_0", "block_1"]
    assert names(encoder.trainable_weights) == {"embedding", "block_0", "block_1"}
    encoder.trainable_blocks = 1
    assert names(encoder.trainable_weights) == {"block_1"}
    np.testing.assert_allclose(
        numpy(encoder(TEXT))[1], sequences(encoder.backbone, TEXT)[1].mean(0), atol=1e-6
    )


def test_a_frozen_backbone_has_no_dropout():
    frozen = Encoder(text_backbone(dropout=0.5), pooling="mean", trainable_blocks=0)
    assert np.array_equal(numpy(frozen(TEXT, training=True)), numpy(frozen(TEXT)))
    frozen.trainable_blocks = 1
    assert not np.array_equal(numpy(frozen(TEXT, training=True)), numpy(frozen(TEXT)))


@pytest.mark.parametrize("trainable_blocks", [None, 0, 1, "all"])
def test_an_encoder_is_saved_with_what_is_trained(trainable_blocks, tmp_path):
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


def pair(**kwargs):
    return {
        "image": Encoder(image_backbone(), DIM, **kwargs),
        "text": Encoder(text_backbone(), DIM, pooling="mean", **kwargs),
    }


def data():
    return {
        "image": np.random.default_rng(1).normal(size=(ROWS, 8, 8, 3)).astype("float32"),
        "text": TEXT,
    }


def test_a_modality_may_be_a_dict_of_arrays(tmp_path):
    model = ContrastiveTrainer(pair(trainable_blocks=1), hard_negatives={"wrong": "text"})
    model.compile(keras.optimizers.Adam(0.01), GammaContrastive(num_items=ROWS))
    wrong = {name: array[::-1] for name, array in TEXT.items()}
    x = {**data(), "wrong": wrong}
    history = model.fit(x, batch_size=4, epochs=2, validation_data=(x, None), verbose=0).history
    assert np.isfinite(history["loss"] + history["val_loss"]).all()
    expected = model.predict(data(), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name, rows in loaded.predict(data(), verbose=0).items():
        np.testing.assert_allclose(numpy(rows), numpy(expected[name]), atol=1e-6)
    loaded.fit(x, batch_size=4, verbose=0)
    assert len(loaded.trainable_weights) == len(model.trainable_weights) == 6


def test_frozen_weights_stay_as_they_are():
    model = ContrastiveTrainer(pair(trainable_blocks=0))
    model.compile(keras.optimizers.Adam(0.1), InfoNCE())
    before = [encoder.backbone.get_weights() for encoder in model.encoders.values()]
    heads = [encoder.projection.get_weights()[0] for encoder in model.encoders.values()]
    model.fit(data(), epochs=2, verbose=0)
    for encoder, weights, head in zip(model.encoders.values(), before, heads, strict=True):
        for mine, theirs in zip(encoder.backbone.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert np.abs(encoder.projection.get_weights()[0] - head).max() > 0


def test_a_temperature_and_a_bias_are_the_very_weights_they_were_given():
    scale, bias = keras.Variable(0.5, name="logit_scale"), keras.Variable(-1.0, name="logit_bias")
    loss = SigmoidContrastive(BackboneTemperature(scale), BackboneBias(bias))
    model = ContrastiveTrainer(pair())
    model.compile(keras.optimizers.Adam(0.1), loss)
    assert [w is v for v in (scale, bias) for w in model.trainable_variables].count(True) == 2
    model.fit(data(), verbose=0)
    assert float(numpy(scale)) != 0.5
    assert float(numpy(bias)) != -1.0
    assert float(loss.temperature.scale) == pytest.approx(np.exp(float(numpy(scale))), rel=1e-5)


def test_the_bound_of_a_temperature_holds_in_training():
    scale = keras.Variable(np.log(100.0).astype("float32"), name="logit_scale")
    model = ContrastiveTrainer(pair())
    model.compile(keras.optimizers.SGD(1.0), InfoNCE(temperature=BackboneTemperature(scale)))
    model.fit({**data(), "image": np.zeros((ROWS, 8, 8, 3), "float32")}, epochs=3, verbose=0)
    assert float(numpy(scale)) <= np.log(100.0) + 1e-6


def test_a_temperature_without_its_file_starts_where_it_was():
    temperature = BackboneTemperature(keras.Variable(1.25), lowest=0.02)
    again = BackboneTemperature.from_config(temperature.get_config())
    again.build()
    assert float(numpy(again.log_scale)) == 1.25
    assert again.lowest == 0.02
    bias = BackboneBias.from_config(BackboneBias(keras.Variable(-3.0)).get_config())
    bias.build()
    assert float(numpy(bias.bias)) == -3.0
