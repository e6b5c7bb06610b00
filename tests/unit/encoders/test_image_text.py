"""CLIP and SigLIP of keras-hub: split into towers, trained with any loss, saved as a preset."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.encoders import Encoder, split_image_text_backbone
from keras_contrastive.layers import BrownianBridge, DeepFeatureSeparation, GeometricConsistency
from keras_contrastive.losses import GammaContrastive, InfoNCE, SigmoidContrastive
from tests.contracts import loss_cases as cases
from tests.helpers import backbones

pytestmark = pytest.mark.towers


def data(rows=backbones.ROWS):
    return {"image": backbones.images(rows), "text": backbones.texts(rows)}


def trainer(parts, loss=None, **kwargs):
    model = ContrastiveTrainer(parts.encoders, **kwargs)
    model.compile(keras.optimizers.Adam(0.01), loss or InfoNCE(temperature=parts.temperature))
    return model


def head_of(backbone):
    return next(layer for layer in backbone.layers if hasattr(layer, "logit_scale"))


def assert_same(found, expected, atol=1e-5):
    assert set(found) == set(expected)
    for name, rows in expected.items():
        np.testing.assert_allclose(ops.convert_to_numpy(found[name]), rows, atol=atol)


@pytest.mark.parametrize("name", ["CLIP", "SigLIP"])
def test_towers_give_the_embeddings_of_the_backbone(name):
    backbone = backbones.image_text(name)
    model = ContrastiveTrainer(split_image_text_backbone(backbone).encoders)
    model.compile("sgd", InfoNCE())
    assert_same(model.predict(data(), verbose=0), backbones.embeddings_of(backbone, data()))


@pytest.mark.parametrize("name", ["CLIP", "SigLIP"])
def test_the_loss_equals_the_loss_of_the_logits_of_the_backbone(name):
    backbone, x = backbones.image_text(name), data()
    head = head_of(backbone)
    head.logit_scale.assign(1.5)
    parts = split_image_text_backbone(backbone)
    logits = backbone.predict(
        {"images": x["image"], "token_ids": x["text"]["token_ids"]}, verbose=0
    )["text_logits"]
    rows = np.arange(len(logits))
    if name == "SigLIP":
        head.logit_bias.assign(-2.0)
        logits = logits - 2.0
        signs = 2 * np.eye(len(rows)) - 1
        expected = np.log1p(np.exp(-signs * logits)).sum() / len(rows)
        loss = SigmoidContrastive(parts.temperature, parts.bias)
    else:
        both = [np.log(np.exp(each).sum(1)) - each[rows, rows] for each in (logits, logits.T)]
        expected = np.mean(both)
        loss = InfoNCE(temperature=parts.temperature)
    assert trainer(parts, loss).evaluate(x, batch_size=len(rows), verbose=0) == pytest.approx(
        expected, rel=1e-4
    )


@pytest.mark.parametrize("name", ["CLIP", "SigLIP"])
def test_a_saved_preset_has_the_trained_weights(name, tmp_path):
    import keras_hub

    backbone, x = backbones.image_text(name), data()
    before, scale = backbones.embeddings_of(backbone, x), float(head_of(backbone).logit_scale)
    parts = split_image_text_backbone(backbone)
    loss = (
        SigmoidContrastive(parts.temperature, parts.bias)
        if parts.bias
        else InfoNCE(temperature=parts.temperature)
    )
    model = trainer(parts, loss)
    model.fit(x, batch_size=4, epochs=2, verbose=0)
    trained = {name: np.asarray(rows) for name, rows in model.predict(x, verbose=0).items()}
    assert all(np.abs(trained[name] - before[name]).max() > 1e-3 for name in before)
    backbone.save_to_preset(str(tmp_path / "preset"))
    loaded = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
    assert_same(backbones.embeddings_of(loaded, x), trained)
    assert float(head_of(loaded).logit_scale) == float(head_of(backbone).logit_scale) != scale
    assert float(head_of(loaded).logit_scale) == pytest.approx(
        np.log(float(parts.temperature.scale)), abs=1e-6
    )
    if name == "SigLIP":
        assert float(head_of(loaded).logit_bias) == float(parts.bias.bias) != 0.0


@pytest.mark.parametrize("name", ["CLIP", "SigLIP"])
def test_a_step_runs_each_encoder_once(name, monkeypatch):
    backbone, calls = backbones.image_text(name), []
    for encoder in (backbone.vision_encoder, backbone.text_encoder):
        block = encoder.encoder_layers[0]

        def counted(*args, call=block.call, name=encoder.name, **kwargs):
            calls.append(name)
            return call(*args, **kwargs)

        monkeypatch.setattr(block, "call", counted)
    model = ContrastiveTrainer((parts := split_image_text_backbone(backbone)).encoders)
    model.compile("sgd", InfoNCE(temperature=parts.temperature), run_eagerly=True)
    # Some backends trace the model in the first step.
    model.train_on_batch(data())
    calls.clear()
    model.train_on_batch(data())
    assert sorted(calls) == sorted([backbone.vision_encoder.name, backbone.text_encoder.name])


@pytest.mark.parametrize(
    "name",
    [*(name for name, case in cases.LOSSES.items() if case.tempered), *cases.REMEMBERING],
)
def test_every_loss_trains_the_logit_scale_of_the_backbone(name):
    backbone = backbones.image_text()
    parts, scale = split_image_text_backbone(backbone), head_of(backbone).logit_scale
    before = float(scale)
    loss = (
        cases.REMEMBERING[name](temperature=parts.temperature, num_items=backbones.ROWS)
        if name in cases.REMEMBERING
        else cases.LOSSES[name].make(temperature=parts.temperature)
    )
    history = (
        trainer(parts, loss).fit(data(), np.arange(backbones.ROWS), epochs=2, verbose=0).history
    )
    assert np.isfinite(history["loss"]).all()
    assert float(scale) != before


def test_towers_train_with_augmenters_regularizers_and_hard_negatives():
    parts = split_image_text_backbone(backbones.image_text())
    model = ContrastiveTrainer(
        parts.encoders,
        augmenters={"image": keras.layers.GaussianNoise(0.1)},
        regularizers=[
            DeepFeatureSeparation(),
            BrownianBridge(modalities="image"),
            GeometricConsistency(),
        ],
        hard_negatives={"wrong_text": "text"},
    )
    model.compile("adam", GammaContrastive(temperature=parts.temperature, num_items=backbones.ROWS))
    history = model.fit(
        {**data(), "wrong_text": backbones.texts(seed=1)}, batch_size=4, epochs=2, verbose=0
    ).history
    assert np.isfinite(history["loss"]).all()
    assert model.predict(data(), verbose=0)["image_independent"].shape[0] == backbones.ROWS


def test_a_loaded_trainer_has_its_own_weights_which_another_backbone_can_take(tmp_path):
    backbone, x = backbones.image_text(), data()
    model = trainer(split_image_text_backbone(backbone))
    model.fit(x, verbose=0)
    trained = {name: np.asarray(rows) for name, rows in model.predict(x, verbose=0).items()}
    scale = float(model.loss.temperature.scale)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(loaded.predict(x, verbose=0), trained)
    assert float(loaded.loss.temperature.scale) == scale
    loaded.fit(x, verbose=0)
    assert float(loaded.loss.temperature.scale) != scale == float(model.loss.temperature.scale)

    other = backbones.image_text()
    parts = split_image_text_backbone(other)
    for name, encoder in parts.encoders.items():
        encoder.set_weights(loaded.encoders[name].get_weights())
    parts.temperature.log_scale.assign(loaded.loss.temperature.log_scale)
    new = {name: np.asarray(rows) for name, rows in loaded.predict(x, verbose=0).items()}
    assert_same(backbones.embeddings_of(other, x), new)


def test_a_locked_image_tower_does_not_change():
    backbone, x = backbones.image_text(), data()
    before = [np.array(weights) for weights in backbone.vision_encoder.get_weights()]
    parts = split_image_text_backbone(backbone, trainable_blocks={"image": 0, "text": 2})
    model = trainer(parts)
    model.fit(x, verbose=0)
    for after, initial in zip(backbone.vision_encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(after, initial)
    assert not parts.encoders["image"].trainable_weights
    assert parts.encoders["text"].blocks[-2:] == ["layer_norm", "text_projection"]
    assert len(parts.encoders["text"].trainable_weights) == 3
    # The fourth weight is the logit scale.
    assert len(model.trainable_weights) == 4


def test_the_bound_of_the_temperature_is_that_of_clip_or_of_the_backbone():
    backbone = backbones.image_text()
    parts = split_image_text_backbone(backbone)
    head = head_of(backbone)
    assert parts.temperature.lowest == 0.01
    assert float(head.logit_scale.constraint(ops.convert_to_tensor(9.0))) == pytest.approx(
        np.log(100)
    )
    # The scale of the published SigLIP.
    head.logit_scale.assign(np.log(117.0))
    assert split_image_text_backbone(backbone).temperature.lowest == pytest.approx(
        1 / 117, rel=1e-5
    )
    assert (
        split_image_text_backbone(
            backbones.image_text(), lowest_temperature=None
        ).temperature.lowest
        is None
    )


WRONG_ARGUMENTS = {
    "a backbone of one modality": (
        lambda: split_image_text_backbone(backbones.bert()),
        *(TypeError, r"such as `keras_hub.models.CLIPBackbone`.*Received: `BertBackbone`"),
    ),
    "an unknown modality": (
        lambda: split_image_text_backbone(backbones.image_text(), trainable_blocks={"audio": 1}),
        *(
            ValueError,
            r"`trainable_blocks` must contain names of modalities: image, text\..*'audio'",
        ),
    ),
    "a bound of 0": (
        lambda: split_image_text_backbone(backbones.image_text(), lowest_temperature=0.0),
        *(ValueError, "`lowest_temperature` must be a positive, finite number"),
    ),
    "an encoder of two modalities": (
        lambda: Encoder(backbones.image_text()),
        *(ValueError, r"outputs vision_logits, text_logits.*encoders.split_image_text_backbone"),
    ),
}


@pytest.mark.parametrize("name", WRONG_ARGUMENTS)
def test_wrong_arguments_raise_with_the_reason(name):
    make, error, message = WRONG_ARGUMENTS[name]
    with pytest.raises(error, match=message):
        make()


def test_the_text_encoder_accepts_token_ids_without_a_dict():
    encoder = split_image_text_backbone(backbones.image_text()).encoders["text"]
    text = backbones.texts()
    assert_same(
        {"text": encoder.predict(text["token_ids"], verbose=0)},
        {"text": np.asarray(encoder.predict(text, verbose=0))},
    )
