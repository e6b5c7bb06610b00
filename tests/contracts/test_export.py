"""Every public model, and every public layer that maps an input, exports after a call."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.encoders import Encoder
from keras_contrastive.layers import MomentumTeacher
from keras_contrastive.losses import InfoNCE, NTXent
from tests.contracts import augmenter_cases, encoder_cases
from tests.helpers import towers
from tests.helpers.export import exported_outputs, exporting

pytestmark = exporting

PADDED = {
    "token_ids": np.array([[1, 2, 3, 0], [4, 5, 0, 0]], "int32"),
    "padding_mask": np.array([[1, 1, 1, 0], [1, 1, 0, 0]], bool),
}


def text_backbone():
    token_ids = keras.Input((4,), dtype="int32", name="token_ids")
    mask = keras.Input((4,), dtype="bool", name="padding_mask")
    return keras.Model(
        {"token_ids": token_ids, "padding_mask": mask}, keras.layers.Embedding(10, 5)(token_ids)
    )


def image_encoder():
    return Encoder(encoder_cases.backbone(), projection_dim=3)


def fitted(model, loss, x):
    model.compile("sgd", loss)
    model.fit(x, verbose=0)
    return model


def self_supervised():
    model = ContrastiveTrainer(
        towers.tower(6), augmenters=towers.Shift(), teacher=MomentumTeacher()
    )
    return fitted(model, NTXent(), towers.pairs(4)["image"])


IMAGES = encoder_cases.batch(2)["image"]
MODELS = {
    "encoder of images": (image_encoder, IMAGES),
    "encoder of texts": (lambda: Encoder(text_backbone(), 3, pooling="mean"), PADDED),
    "encoder of Hugging Face": (
        lambda: Encoder(text_backbone(), 3, pooling="last_token"),
        {"input_ids": PADDED["token_ids"], "attention_mask": PADDED["padding_mask"]},
    ),
    "trainer": (lambda: ContrastiveTrainer(towers.towers()), towers.pairs(2)),
    "trainer after `fit`": (
        lambda: fitted(ContrastiveTrainer(towers.towers()), InfoNCE(), towers.pairs(4)),
        towers.pairs(2),
    ),
    "trainer with a teacher": (self_supervised, towers.pairs(2)["image"]),
    "trainer of encoders": (
        lambda: ContrastiveTrainer({"image": image_encoder(), "text": towers.tower(5, 3)}),
        {"image": IMAGES, "text": towers.pairs(2)["text"]},
    ),
}


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("name", MODELS)
def test_models_export_after_a_call(tmp_path, name):
    make, x = MODELS[name]
    model = make()
    expected = keras.tree.map_structure(lambda y: y[:1], model.predict(x, verbose=0))
    names = {"input_ids": "token_ids", "attention_mask": "padding_mask"}
    if isinstance(x, dict):
        x = {names.get(key, key): value for key, value in x.items()}
    found = exported_outputs(model, tmp_path, keras.tree.map_structure(lambda y: y[:1], x))
    keras.tree.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected
    )


def test_an_encoder_exports_before_a_call(tmp_path):
    encoder = image_encoder()
    found = exported_outputs(encoder, tmp_path, IMAGES[:1])
    np.testing.assert_allclose(found, encoder.predict(IMAGES[:1], verbose=0), rtol=1e-4, atol=1e-5)


LAYERS = {
    name: (case.make, encoder_cases.batch(2, case.inputs)[case.inputs[0]])
    for name, case in encoder_cases.CASES.items()
    if len(case.inputs) == 1
}
LAYERS |= {
    name: (make, augmenter_cases.inputs(name)[:2]) for name, make in augmenter_cases.LAYERS.items()
}


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("name", LAYERS)
def test_layers_export_in_a_model(tmp_path, name):
    make, x = LAYERS[name]
    symbolic = keras.Input(x.shape[1:], dtype=str(x.dtype))
    model = keras.Model(symbolic, make()(symbolic))
    found = exported_outputs(model, tmp_path, x[:1])
    expected = model.predict(x, verbose=0)[:1]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
