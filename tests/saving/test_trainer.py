"""Saved trainers are restored with all weights, state and arguments."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import LearnableTemperature
from keras_contrastive.losses import GammaContrastive, InfoNCE
from keras_contrastive.metrics import RecallAtK
from tests.helpers.towers import Directions, Shift, pairs, settle, tower, towers


@keras.saving.register_keras_serializable(package="tests")
class Stretch(keras.layers.Layer):
    """An augmentation with a weight that is built from the first input."""

    def build(self, shape):
        self.factors = self.add_weight(shape=(shape[-1],), initializer="ones", name="factors")

    def call(self, inputs, training=None):
        return inputs * self.factors if training else inputs


def stateful_loss():
    return GammaContrastive(num_items=24, draws=2, seed=1, temperature=LearnableTemperature(0.5))


def trainer(loss=None, **kwargs):
    model = ContrastiveTrainer(towers(), **kwargs)
    model.compile(keras.optimizers.Adam(0.01), loss or stateful_loss(), metrics=[RecallAtK(1)])
    return model


def scale_of(model):
    return float(ops.convert_to_numpy(model.loss.temperature.scale))


def train(model, epochs=1):
    model.fit(pairs(), batch_size=8, shuffle=False, epochs=epochs, verbose=0)
    return model


def reload(model, path, **kwargs):
    model.save(path / "model.keras")
    return keras.models.load_model(path / "model.keras", **kwargs)


def assert_same(first, second, atol=0.0):
    for name, rows in first.predict(pairs(), verbose=0).items():
        np.testing.assert_allclose(
            second.predict(pairs(), verbose=0)[name], rows, atol=max(atol, 1e-6)
        )
    assert len(first.weights) == len(second.weights)
    for mine, theirs in zip(first.weights, second.weights, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(theirs), ops.convert_to_numpy(mine), atol=atol
        )
    for mine, theirs in zip(first.optimizer.variables, second.optimizer.variables, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(theirs), ops.convert_to_numpy(mine), atol=atol
        )


def test_loaded_model_has_the_same_weights_state_and_optimizer(tmp_path):
    model = train(trainer())
    loaded = reload(model, tmp_path)
    assert_same(model, loaded)
    assert np.array_equal(*(ops.convert_to_numpy(m.loss.state.log_rates) for m in (model, loaded)))
    assert scale_of(loaded) == scale_of(model) != 2.0
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) == 3
    assert loaded.evaluate(pairs(), verbose=0) == pytest.approx(
        model.evaluate(pairs(), verbose=0), rel=1e-5
    )


def test_save_and_load_between_epochs_does_not_change_training(tmp_path):
    def fresh():
        return trainer(
            augmenters={"text": Shift(0.5)}, regularizers=[Directions(name="directions")]
        )

    assert_same(train(fresh(), epochs=2), train(reload(train(fresh()), tmp_path)), atol=1e-6)


def test_step_counter_of_draws_is_saved(tmp_path):
    one_go, interrupted = train(trainer(), epochs=2), reload(train(trainer()), tmp_path)
    interrupted.loss.state.step.assign(0)  # simulates a counter that is not saved
    rates = [
        ops.convert_to_numpy(m.loss.state.log_rates)[:-1] for m in (one_go, train(interrupted))
    ]
    assert np.abs(rates[0] - rates[1]).max() > 1e-6


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_untrained_model_can_be_saved(tmp_path):
    model = trainer()
    loaded = reload(model, tmp_path)
    assert_same(model, loaded)
    assert_same(train(model), train(loaded), atol=1e-6)


@pytest.mark.parametrize("jit_compile", ["auto", False])
def test_jit_compile_is_saved_as_requested(jit_compile, tmp_path):
    model = ContrastiveTrainer(towers())
    model.compile("sgd", InfoNCE(), jit_compile=jit_compile)
    model(pairs())
    assert reload(model, tmp_path).get_compile_config()["jit_compile"] == jit_compile


def test_loading_without_compiling_gives_the_embeddings(tmp_path):
    model = train(trainer())
    loaded = reload(model, tmp_path, compile=False)
    assert not loaded.compiled
    np.testing.assert_allclose(
        loaded.predict(pairs(), verbose=0)["text"],
        model.predict(pairs(), verbose=0)["text"],
        atol=1e-6,
    )


# The other model has not been trained, so its optimizer has no state yet.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_weights_can_be_saved_alone(tmp_path):
    model, other = train(trainer()), trainer()
    model.save_weights(tmp_path / "model.weights.h5")
    other(pairs())
    other.load_weights(tmp_path / "model.weights.h5")
    for mine, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.slow_to_compile
def test_metrics_and_weighted_metrics_are_restored(tmp_path):
    model = ContrastiveTrainer(towers())
    model.compile(
        "sgd", InfoNCE(), metrics=[RecallAtK(1)], weighted_metrics=[RecallAtK(3, name="weighted")]
    )
    weights = np.linspace(0, 2, 24, dtype="float32")
    expected = model.evaluate(pairs(), sample_weight=weights, verbose=0, return_dict=True)
    assert set(expected) == {"loss", "recall_at_1", "weighted"}
    loaded = reload(model, tmp_path).evaluate(
        pairs(), sample_weight=weights, verbose=0, return_dict=True
    )
    assert loaded == pytest.approx(expected, rel=1e-5)


def test_every_argument_is_restored(tmp_path):
    model = ContrastiveTrainer(
        towers(),
        augmenters={"text": Shift(0.25)},
        projectors={"image": tower(4)},
        regularizers=[Directions(name="directions")],
        in_modal_weight=0.25,
        name="trainer",
    )
    model.compile("sgd", InfoNCE(temperature=0.3))
    model.fit(pairs(), verbose=0)
    loaded = reload(model, tmp_path)
    assert (loaded.name, loaded.in_modal_weight, loaded.augmenters["text"].by) == (
        "trainer",
        0.25,
        0.25,
    )
    assert loaded.evaluate(pairs(), verbose=0) == pytest.approx(
        model.evaluate(pairs(), verbose=0), rel=1e-5
    )


def test_model_of_one_encoder_is_restored(tmp_path):
    x = pairs()["image"]
    model = ContrastiveTrainer(settle(tower(6)), augmenters=Shift(0.5), projectors=tower(4))
    model.compile("sgd", InfoNCE())
    model.fit(x, verbose=0)
    assert reload(model, tmp_path).evaluate(x, verbose=0) == pytest.approx(
        model.evaluate(x, verbose=0), rel=1e-5
    )


@pytest.mark.parametrize("by_modality", [True, False])
def test_weights_of_an_augmenter_are_restored(by_modality, tmp_path):
    x = {"image": pairs()["image"]} if by_modality else pairs()["image"]
    parts = [settle(tower(6)), Stretch()]
    model = ContrastiveTrainer(*({"image": part} if by_modality else part for part in parts))
    model.compile("sgd", InfoNCE())
    model.fit(x, verbose=0)
    parts[1].factors.assign([1.0, 2.0, 3.0, -1.0, 0.0, 5.0])
    assert reload(model, tmp_path).evaluate(x, verbose=0) == pytest.approx(
        model.evaluate(x, verbose=0), rel=1e-5
    )


def test_encoders_built_from_data_are_restored(tmp_path):
    encoders = {name: keras.Sequential([keras.layers.Dense(4)]) for name in ("image", "text")}
    model = ContrastiveTrainer(encoders)
    model.compile(keras.optimizers.Adam(0.01), stateful_loss())
    assert_same(train(model), reload(model, tmp_path))


def test_encoder_with_two_names_stays_shared(tmp_path):
    shared = settle(tower(6))
    model = ContrastiveTrainer({"left": shared, "right": shared})
    model.compile("sgd", InfoNCE())
    model({name: pairs()["image"] for name in ("left", "right")})
    loaded = reload(model, tmp_path)
    assert loaded.encoders["left"] is loaded.encoders["right"]
    assert len(loaded.trainable_weights) == 4


def test_layer_inside_two_encoders_raises_when_loaded(tmp_path):
    """Keras cannot load any such model. One encoder with two names works."""
    shared = keras.layers.Dense(4)
    encoders = {name: keras.Sequential([keras.Input((6,)), shared]) for name in ("left", "right")}
    model = ContrastiveTrainer(encoders)
    model({name: pairs()["image"] for name in encoders})
    with pytest.raises(ValueError, match="expected 2 variables, but received 0 variables"):
        reload(model, tmp_path)
