"""Backbones, tokenizers and presets of keras-hub, keras-nlp and keras-cv in encoders."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.encoders import Encoder
from keras_contrastive.losses import InfoNCE
from keras_contrastive.metrics import RecallAtK
from tests.helpers import backbones
from tests.helpers.backend import DATA_KINDS

pytestmark = pytest.mark.towers

SENTENCES = ["a red apple", "the green pear on a table", "blue", "yellow lemon and lime"] * 3
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *sorted({word for s in SENTENCES for word in s.split()}),
]


def numpy(x):
    return np.asarray(ops.convert_to_numpy(x))


def sequences(backbone, x):
    outputs = backbone(x)
    return numpy(outputs["sequence_output"] if isinstance(outputs, dict) else outputs)


def mean(x, mask):
    return (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)


def last(x, mask):
    return x[np.arange(len(x)), mask.sum(1) - 1]


TEXT_POOLING = {
    "bert": mean,
    "roberta": mean,
    "distil_bert": mean,
    "gpt2": last,
    "llama": last,
    "clip_text": last,
}
IMAGE_POOLING = {
    "vit": lambda x: x[:, 0],
    "vit_without_class_token": lambda x: x.mean(1),
    "dinov2": lambda x: x[:, 0],
    "clip_vision": lambda x: x[:, 0],
    "vgg": lambda x: x.mean((1, 2)),
}


@pytest.mark.parametrize("name", TEXT_POOLING)
def test_text_backbones_are_pooled_by_their_family(name):
    backbone, x = backbones.TEXT[name](), backbones.texts()
    segments = {"segment_ids": np.zeros_like(x["token_ids"])}
    named = {key: value for key, value in {**x, **segments}.items() if key in backbone.input}
    expected = TEXT_POOLING[name](sequences(backbone, named), x["padding_mask"])
    np.testing.assert_allclose(numpy(Encoder(backbone)(x)), expected, atol=1e-5)


@pytest.mark.parametrize("name", IMAGE_POOLING)
def test_image_backbones_are_pooled_by_their_family(name):
    backbone, x = backbones.IMAGE[name](), backbones.images()
    np.testing.assert_allclose(
        numpy(Encoder(backbone)(x)), IMAGE_POOLING[name](sequences(backbone, x)), atol=1e-5
    )


def test_a_pooled_output_does_not_change():
    backbone, x = backbones.TEXT["siglip_text"](), backbones.texts()
    expected = numpy(backbone({"token_ids": x["token_ids"]}))
    np.testing.assert_allclose(numpy(Encoder(backbone)(x)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "text"), [("vit", "bert"), ("dinov2", "gpt2"), ("vgg", "distil_bert")]
)
def test_partly_frozen_encoders_train_and_are_saved(image, text, tmp_path):
    encoders = {
        "image": Encoder(backbones.IMAGE[image](), projection_dim=6, trainable_blocks=1),
        "text": Encoder(backbones.TEXT[text](), projection_dim=6, trainable_blocks=0),
    }
    model = ContrastiveTrainer(encoders)
    model.compile(keras.optimizers.Adam(0.003), InfoNCE(), metrics=[RecallAtK(1)])
    x = {"image": backbones.images(), "text": backbones.texts()}
    frozen = encoders["text"].backbone.get_weights()
    history = model.fit(x, batch_size=12, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    for after, before in zip(encoders["text"].backbone.get_weights(), frozen, strict=True):
        np.testing.assert_array_equal(after, before)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name, rows in loaded.predict(x, verbose=0).items():
        np.testing.assert_allclose(numpy(rows), numpy(model.predict(x, verbose=0)[name]), atol=1e-5)
    assert len(loaded.trainable_weights) == len(model.trainable_weights)


def test_a_folder_can_be_a_preset(tmp_path):
    backbone = backbones.bert()
    backbone.save_to_preset(str(tmp_path / "bert"))
    x = backbones.texts()
    np.testing.assert_allclose(
        numpy(Encoder(str(tmp_path / "bert"))(x)), numpy(Encoder(backbone)(x)), atol=1e-6
    )


def preprocessor():
    import keras_hub

    tokenizer = keras_hub.models.BertTokenizer(vocabulary=WORDS, lowercase=True)
    return keras_hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=8)


def text_trainer():
    text = Encoder(
        backbones.bert(vocabulary_size=len(WORDS), max_sequence_length=8), projection_dim=4
    )
    image = keras.Sequential(
        [keras.Input((backbones.SIDE, backbones.SIDE, 3)), keras.layers.Flatten()]
    )
    model = ContrastiveTrainer({"image": Encoder(image, projection_dim=4), "text": text})
    model.compile(keras.optimizers.SGD(0.01), InfoNCE())
    return model


def tokenized():
    return {name: numpy(tokens) for name, tokens in preprocessor()(SENTENCES).items()}


def test_an_encoder_takes_the_batch_of_a_tokenizer():
    tokens = preprocessor()(SENTENCES)
    assert {"token_ids", "padding_mask"} <= set(tokens)
    encoder = text_trainer().encoders["text"]
    assert tuple(encoder(tokens).shape) == (len(SENTENCES), 4)
    np.testing.assert_allclose(
        encoder.predict(tokenized(), verbose=0), numpy(encoder(tokens)), atol=1e-5
    )


def test_padding_does_not_change_an_embedding():
    encoder = text_trainer().encoders["text"]
    alone = preprocessor().tokenizer(SENTENCES[2])
    row = {name: tokens[2:3] for name, tokens in tokenized().items()}
    length = int(row["padding_mask"].sum())
    # The preprocessor adds two special tokens.
    assert length == len(alone) + 2
    short = {name: tokens[:, :length] for name, tokens in row.items()}
    np.testing.assert_allclose(numpy(encoder(short)), numpy(encoder(row)), atol=1e-5)


def test_training_is_equal_for_every_kind_of_data():
    x = {"image": backbones.images(), "text": tokenized()}
    losses = {}
    for name, make in {"arrays": None, **DATA_KINDS}.items():
        keras.utils.set_random_seed(1)
        model = text_trainer()
        data = {"x": x, "batch_size": 4} if make is None else {"x": make((x,), 4)}
        losses[name] = model.fit(**data, shuffle=False, verbose=0).history["loss"][0]
    assert list(losses.values()) == pytest.approx([losses["arrays"]] * len(losses), rel=1e-4)


def test_strings_are_tokenized_inside_tf_data():
    """keras-hub installs TensorFlow for every backend."""
    import tensorflow as tf

    preprocess = preprocessor()
    strings = tf.data.Dataset.from_tensor_slices({"image": backbones.images(), "text": SENTENCES})
    batches = strings.batch(4).map(
        lambda x: ({"image": x["image"], "text": preprocess(x["text"])},)
    )
    keras.utils.set_random_seed(1)
    loss = text_trainer().fit(batches, verbose=0).history["loss"][0]
    keras.utils.set_random_seed(1)
    arrays = {"image": backbones.images(), "text": tokenized()}
    expected = text_trainer().fit(arrays, batch_size=4, shuffle=False, verbose=0).history["loss"][0]
    assert loss == pytest.approx(expected, rel=1e-4)


def test_an_embedder_takes_strings_and_is_saved_with_its_tokenizer(tmp_path):
    model, tokens = text_trainer(), tokenized()
    model({"image": backbones.images(), "text": tokens})
    expected = model.embedder("text").predict(tokens, verbose=0)
    embedder = model.embedder("text", preprocessor=preprocessor())
    np.testing.assert_allclose(embedder.predict(SENTENCES, 5, verbose=0), expected, atol=1e-5)
    embedder.save(tmp_path / "embedder.keras")
    loaded = keras.models.load_model(tmp_path / "embedder.keras")
    np.testing.assert_allclose(loaded.predict(SENTENCES, verbose=0), expected, atol=1e-5)


def keras_cv_backbone():
    import keras_cv

    return keras_cv.models.DenseNetBackbone(
        stackwise_num_repeats=[1, 1],
        compression_ratio=0.5,
        growth_rate=4,
        include_rescaling=False,
        input_shape=(32, 32, 3),
    )


def test_keras_cv_and_keras_nlp_train_together(tmp_path, rng):
    import keras_nlp

    text = keras_nlp.models.BertBackbone(
        vocabulary_size=40,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=12,
        max_sequence_length=6,
    )
    image = keras_cv_backbone()
    encoders = {
        "image": Encoder(image, 6, trainable_blocks=4),
        "text": Encoder(text, 6, trainable_blocks=1),
    }
    x = {"image": rng.uniform(size=(12, 32, 32, 3)).astype("float32"), "text": backbones.texts()}
    expected = sequences(image, x["image"]).mean((1, 2)) @ numpy(
        encoders["image"].projection.kernel
    )
    np.testing.assert_allclose(numpy(encoders["image"](x["image"])), expected, atol=1e-5)
    model = ContrastiveTrainer(encoders)
    model.compile(keras.optimizers.Adam(0.003), InfoNCE())
    history = model.fit(x, batch_size=12, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name, rows in loaded.predict(x, verbose=0).items():
        np.testing.assert_allclose(numpy(rows), numpy(model.predict(x, verbose=0)[name]), atol=1e-5)
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
