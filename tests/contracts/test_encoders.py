"""Promises of every encoder and tower: saving, compilation, precision, batch sizes and errors."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.encoders import (
    BackboneBias,
    BackboneTemperature,
    Encoder,
    PatchTower,
    TextTower,
    TransformerBlock,
    gelu_tanh,
)
from tests.contracts.encoder_cases import (
    CASES,
    CLASSES,
    SHAPES,
    WITHOUT_CASE,
    backbone,
    batch,
    symbolic,
)
from tests.helpers.backend import to_numpy
from tests.helpers.towers import settle

every_case = pytest.mark.parametrize("name", CASES)
ROWS = 3


def test_every_public_class_has_a_case():
    assert {name.split(",")[0] for name in CASES} | WITHOUT_CASE == CLASSES


# In a model. One model holds all encoders, so that it is compiled and saved once.


def symbolic_batch():
    return {name: symbolic(name) for name in SHAPES}


def all_cases():
    inputs = symbolic_batch()
    outputs = {name: case.call(case.make(), inputs) for name, case in CASES.items()}
    return settle(keras.Model(inputs, outputs))


@pytest.fixture(scope="module")
def model():
    return all_cases()


@every_case
def test_symbolic_outputs_have_the_shape_of_the_outputs(name, model):
    assert model.output[name].shape == (None, *CASES[name].output_shape)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("rows", [ROWS, 1])
def test_compiled_outputs_equal_eager_outputs_for_every_batch_size(model, rows):
    eager = model(batch(ROWS))
    compiled = model.predict({name: x[:rows] for name, x in batch(ROWS).items()}, verbose=0)
    for name, output in compiled.items():
        assert output.shape == (rows, *CASES[name].output_shape)
        np.testing.assert_allclose(output, to_numpy(eager[name])[:rows], atol=1e-5)


@pytest.mark.slow_to_compile
def test_a_loaded_model_gives_the_same_outputs(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected, outputs = (each(batch(ROWS)) for each in (model, loaded))
    for name, output in outputs.items():
        np.testing.assert_allclose(to_numpy(output), to_numpy(expected[name]), atol=1e-6)


def all_finite(outputs):
    return all(np.all(np.isfinite(to_numpy(ops.cast(x, "float32")))) for x in outputs.values())


def test_outputs_are_finite_in_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert all_finite(all_cases().predict(batch(ROWS), verbose=0))


# Eager, because XLA does not compile products of float16 for a CPU.
@pytest.mark.full
def test_outputs_are_finite_in_float16():
    keras.config.set_dtype_policy("mixed_float16")
    assert all_finite(all_cases()(batch(ROWS)))


# Alone


@every_case
def test_a_layer_from_its_config_has_the_same_config_and_weights(name):
    encoder = CASES[name].make(name="encoder", dropout=0.1)
    again = type(encoder).from_config(encoder.get_config())
    assert again.get_config() == encoder.get_config()
    for each in (encoder, again):
        CASES[name].call(each, symbolic_batch())
    names = [[weight.name for weight in each.weights] for each in (encoder, again)]
    shapes = [[weight.shape for weight in each.weights] for each in (encoder, again)]
    assert names[0] == names[1]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", sorted(CLASSES - WITHOUT_CASE))
def test_dropout_is_active_in_training_only(name):
    case = CASES[name]
    encoder, x = case.make(dropout=0.5), batch(ROWS)
    first, again = (to_numpy(case.call(encoder, x, training=False)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(to_numpy(case.call(encoder, x, training=True)), first)


@every_case
def test_a_layer_that_is_frozen_before_it_is_built_stays_frozen(name):
    encoder = CASES[name].make()
    encoder.trainable = False
    CASES[name].call(encoder, symbolic_batch())
    assert encoder.weights
    assert not encoder.trainable_weights


def test_an_activation_of_the_package_is_saved():
    tower = TextTower(30, 6, 8, num_heads=2, activation=gelu_tanh)
    assert TextTower.from_config(tower.get_config()).activation is gelu_tanh


# Errors

SMALL = {"dim": 8, "num_heads": 2}
WRONG_ARGUMENTS = [
    (PatchTower, {"patch_size": 0}, ValueError, "`patch_size` must be a positive integer"),
    (PatchTower, {"patch_size": 2.0}, TypeError, "`patch_size` must be a positive integer"),
    (PatchTower, {"num_layers": 0}, ValueError, "`num_layers` must be a positive integer"),
    (PatchTower, {"hidden_dim": 0}, ValueError, "`hidden_dim` must be `None` or a positive"),
    (PatchTower, {"dropout": 1.0}, ValueError, r"`dropout` must be a number in \[0, 1\)"),
    (TextTower, {"vocabulary_size": 0, "max_length": 6}, ValueError, "`vocabulary_size` must be"),
    (TextTower, {"vocabulary_size": 9, "max_length": "6"}, TypeError, "`max_length` must be"),
    (TransformerBlock, {"num_heads": 0, "hidden_dim": 4}, ValueError, "`num_heads` must be"),
    (Encoder, {"backbone": 3}, TypeError, "`backbone` must be a model"),
    (BackboneTemperature, {"lowest": 0.0}, ValueError, "`lowest` must be a positive, finite"),
]


@pytest.mark.parametrize(("cls", "arguments", "error", "message"), WRONG_ARGUMENTS)
def test_wrong_arguments_raise_with_the_reason(cls, arguments, error, message):
    with pytest.raises(error, match=message):
        cls(**arguments)


def text_tower():
    return TextTower(30, 6, **SMALL)


WRONG_INPUTS = {
    "patches that do not divide the image": (
        lambda: PatchTower(3, **SMALL)(np.ones((1, 8, 8, 3))),
        r"`patch_size` must divide the height and the width.*Received: patch_size=3, inputs.shape",
    ),
    "images of unknown size": (
        lambda: PatchTower(4, **SMALL)(keras.Input((None, 8, 3))),
        "must be images .* of static size",
    ),
    "a single image": (
        lambda: PatchTower(4, **SMALL)(np.ones((8, 8, 3))),
        "must be images .* of static size",
    ),
    "a long text": (
        lambda: text_tower()(np.ones((1, 7), "int32")),
        "at most `max_length=6` tokens. Received: 7 tokens",
    ),
    "a text without its mask": (
        lambda: text_tower()({"token_ids": np.ones((1, 6), "int32")}),
        "It lacks padding_mask",
    ),
    "a single text": (lambda: text_tower()(np.ones(6, "int32")), r"shape `\(batch, length\)`"),
    "heads that do not divide the dimension": (
        lambda: TransformerBlock(4, 8)(np.ones((1, 2, 6))),
        "`num_heads` must divide the dimension of the tokens. Received: num_heads=4",
    ),
    "a context without cross-attention": (
        lambda: TransformerBlock(2, 8)(np.ones((1, 2, 6)), context=np.ones((1, 2, 3))),
        r"`context` must be `None`.*Create the block with `TransformerBlock\(context_dim=3\)`",
    ),
    "weights of other shapes": (
        lambda: built_block(8).copy_from(built_block(12)),
        "The weights of `inner` must have the shapes",
    ),
    "a list of images": (
        lambda: Encoder(backbone())([np.ones((8, 8, 3))]),
        "must be a dict with",
    ),
}


def built_block(hidden_dim):
    block = TransformerBlock(2, hidden_dim)
    block.build((None, None, 6))
    return block


@pytest.mark.parametrize("name", WRONG_INPUTS)
def test_wrong_inputs_raise_with_the_reason(name):
    call, message = WRONG_INPUTS[name]
    with pytest.raises((TypeError, ValueError), match=message):
        call()


# The parts of a split backbone


@pytest.mark.parametrize(
    ("cls", "attribute"), [(BackboneTemperature, "log_scale"), (BackboneBias, "bias")]
)
def test_a_scalar_of_a_backbone_is_shared_and_saved_with_its_value(cls, attribute):
    weight = keras.Variable(1.25)
    layer = cls(weight)
    assert getattr(layer, attribute) is weight
    again = cls.from_config(layer.get_config())
    again.build()
    assert float(to_numpy(getattr(again, attribute))) == 1.25
    assert again.get_config() == layer.get_config()
    assert keras.backend.standardize_dtype(getattr(again, attribute).dtype) == "float32"


def test_logits_are_scaled_by_the_temperature_and_shifted_by_the_bias():
    x = np.array([0.5, -1.0], "float32")
    scaled = BackboneTemperature(keras.Variable(np.log(2.0).astype("float32")))(x)
    np.testing.assert_allclose(to_numpy(scaled), [1.0, -2.0], rtol=1e-6)
    shifted = BackboneBias(keras.Variable(-3.0))(x)
    np.testing.assert_allclose(to_numpy(shifted), [-2.5, -4.0], rtol=1e-6)
