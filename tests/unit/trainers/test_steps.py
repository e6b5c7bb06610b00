"""Training steps: compiled or eager, mixed precision, state, temperature, other losses."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import LearnableTemperature
from keras_contrastive.losses import GammaContrastive, InfoNCE
from keras_contrastive.metrics import RecallAtK
from tests.helpers.backend import COMPILE_MOST
from tests.helpers.stateful import IDS, rates, rows, stateful_loss, step, trainer
from tests.helpers.towers import pairs, settle, tower, towers


@pytest.mark.traced
def test_compiled_step_equals_eager_step():
    eager, compiled = trainer(run_eagerly=True), trainer(**COMPILE_MOST)
    expected = eager.fit(pairs(), batch_size=8, shuffle=False, epochs=2, verbose=0)
    history = compiled.fit(pairs(), batch_size=8, shuffle=False, epochs=2, verbose=0)
    np.testing.assert_allclose(history.history["loss"], expected.history["loss"], rtol=1e-4)
    np.testing.assert_allclose(rates(compiled), rates(eager), atol=1e-4)
    assert step(compiled) == step(eager) == 6


@pytest.mark.traced
def test_gradients_can_be_accumulated():
    model = ContrastiveTrainer(towers())
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), InfoNCE())
    before = model.get_weights()[0]
    model.train_on_batch(rows(12))
    assert np.array_equal(model.get_weights()[0], before)
    model.train_on_batch(rows(12))
    assert np.abs(model.get_weights()[0] - before).max() > 0


@pytest.mark.traced
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_with_a_loss_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    model = ContrastiveTrainer(towers())
    model.compile(
        keras.optimizers.Adam(0.03),
        stateful_loss(temperature=LearnableTemperature(0.5)),
        metrics=[RecallAtK(1)],
    )
    assert ops.dtype(model(pairs())["image"]) in ("float16", "bfloat16")
    assert (
        keras.backend.standardize_dtype(
            model.compute_loss(pairs(), IDS, model(pairs()), training=False).dtype
        )
        == "float32"
    )
    losses = model.fit(pairs(), batch_size=12, epochs=8, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.2
    assert np.isfinite(rates(model)).all()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_augments_both_views_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, inputs, training=None):
            seen.append(ops.dtype(inputs))
            return inputs / 1e5

    model = ContrastiveTrainer(tower(6), augmenters=Spy(autocast=False))
    model.compile("sgd", InfoNCE(), run_eagerly=True)
    loss = model.train_on_batch(1e5 * pairs()["image"])
    assert set(seen) == {"float32"}
    assert np.isfinite(float(loss))


def test_a_model_without_ids_and_state_counts_its_steps():
    model = trainer(GammaContrastive(draws=1, seed=1))
    model.fit(pairs(), batch_size=8, verbose=0)
    assert step(model) == 3


def test_temperature_is_trained():
    model = trainer(InfoNCE(temperature=LearnableTemperature(0.5)))
    before = float(ops.convert_to_numpy(model.loss.temperature.scale))
    model.fit(pairs(), verbose=0)
    assert abs(float(ops.convert_to_numpy(model.loss.temperature.scale)) - before) > 1e-4
    assert any(weight is model.loss.temperature.log_scale for weight in model.trainable_weights)


def test_temperature_stays_above_its_bound():
    x = pairs()
    model = ContrastiveTrainer({"left": settle(tower(6), 0), "right": settle(tower(6), 0)})
    model.compile(
        keras.optimizers.SGD(10.0), InfoNCE(temperature=LearnableTemperature(0.5, lowest=0.3))
    )
    model.fit({"left": x["image"], "right": x["image"]}, epochs=5, verbose=0)
    assert float(ops.convert_to_numpy(model.loss.temperature.scale)) == pytest.approx(
        1 / 0.3, rel=1e-5
    )


def test_compiling_again_with_the_same_loss_keeps_its_state():
    model = trainer()
    model.fit(pairs(), verbose=0)
    before = rates(model)
    model.compile("sgd", model.loss)
    assert np.array_equal(rates(model), before)
    assert sum(weight is model.loss.state.log_rates for weight in model.weights) == 1


def test_compiling_with_another_loss_trains_that_one():
    model = trainer()
    model.fit(pairs(), verbose=0)
    first = model.loss
    model.compile("sgd", stateful_loss())
    model.fit(pairs(), verbose=0)
    assert np.isfinite(rates(model)).all()
    assert not any(weight is first.state.log_rates for weight in model.weights)


def test_losses_of_the_encoders_are_added():
    x = pairs()
    image = settle(
        keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, kernel_regularizer="l2")])
    )
    model = ContrastiveTrainer({**towers(), "image": image})
    model.compile("sgd", InfoNCE())
    contrast = float(ops.convert_to_numpy(InfoNCE()(None, model(x))))
    kernel = ops.convert_to_numpy(image.layers[0].kernel)
    assert model.evaluate(x, verbose=0) - contrast == pytest.approx(
        0.01 * np.sum(kernel**2), rel=1e-3
    )


@pytest.mark.filterwarnings("ignore:`augmenters` contains layers without:UserWarning")
def test_activity_losses_are_those_of_the_first_view():
    x = pairs()["image"]
    encoder = settle(
        keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, activity_regularizer="l2")])
    )
    model = ContrastiveTrainer(encoder, augmenters=keras.layers.Rescaling(2.0))
    model.compile("sgd", InfoNCE())
    second = ops.convert_to_numpy(encoder(2 * x))
    first = ops.convert_to_numpy(encoder(x))
    # What Keras makes of the regularizer: 3.12 sums over the batch where 3.15 takes the mean.
    (own,) = (float(ops.convert_to_numpy(loss)) for loss in encoder.losses)
    contrast = float(ops.convert_to_numpy(InfoNCE()(None, [first, second])))
    assert own > 0
    assert model.evaluate(x, verbose=0) - contrast == pytest.approx(own, rel=1e-3)
