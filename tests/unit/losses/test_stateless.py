"""Losses in a training loop of one's own: their weights, and calls without side effects."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.layers import EmbeddingQueue, LearnableBias, LearnableTemperature
from keras_contrastive.losses import (
    GammaContrastive,
    GlobalContrastive,
    InfoNCE,
    SigmoidContrastive,
)
from keras_contrastive.losses._stateless import check_state_can_change
from tests.helpers import normal
from tests.helpers.backend import gradients, to_numpy, traced

IDS = np.array([3, 0, 4, 1, 2], "int32")
STATEFUL = {
    "queue": lambda: InfoNCE(0.2, memory=EmbeddingQueue(10, 3)),
    "gamma": lambda: GammaContrastive(num_items=5),
    "global": lambda: GlobalContrastive(num_items=5),
    "learnable": lambda: GlobalContrastive(5, temperature=LearnableTemperature(0.2)),
}


def built(loss):
    loss.build()
    return loss


def values(variables):
    return [ops.convert_to_tensor(variable) for variable in variables]


def test_weights_of_the_layers_are_listed():
    loss = built(SigmoidContrastive(LearnableTemperature(), bias=LearnableBias()))
    expected = [loss.temperature.log_scale, loss.bias.bias]
    assert [id(weight) for weight in loss.trainable_variables] == [id(x) for x in expected]
    assert loss.non_trainable_variables == []
    queue = built(InfoNCE(0.2, memory=EmbeddingQueue(10, 3)))
    assert queue.trainable_variables == []
    assert [id(weight) for weight in queue.non_trainable_variables] == [
        id(weight) for weight in queue.memory.weights
    ]
    assert built(InfoNCE()).trainable_variables == []


def test_the_gradient_of_a_temperature_in_a_loop():
    loss = built(InfoNCE(LearnableTemperature(0.5)))
    a, b = normal(2, 5, 3)

    def at(log_scale):
        return loss.stateless_call([log_scale], [], None, (a, b), training=True)[0]

    (found,) = gradients(at, np.float32(1.0))
    up, down = (float(InfoNCE(np.exp(-x))(None, (a, b))) for x in (1.01, 0.99))
    assert found == pytest.approx((up - down) / 0.02, rel=1e-3)
    # The weight itself stays.
    assert float(loss.temperature.scale) == pytest.approx(2)


@pytest.mark.parametrize("name", STATEFUL)
def test_stateless_calls_equal_calls_that_change_the_state(name):
    loss, twin = built(STATEFUL[name]()), built(STATEFUL[name]())
    trainable, state = (
        values(part) for part in (loss.trainable_variables, loss.non_trainable_variables)
    )
    before = [to_numpy(value) for value in state]

    @traced
    def call(trainable, state, a, b):
        return loss.stateless_call(trainable, state, IDS, (a, b), training=True)

    for step in range(3):
        a, b = (ops.convert_to_tensor(x, "float32") for x in normal(2, 5, 3, seed=step))
        value, state = call(trainable, state, a, b)
        expected = twin(IDS, (a, b), training=True)
        assert float(value) == pytest.approx(float(expected), rel=1e-5)
        for new, other in zip(state, twin.non_trainable_variables, strict=True):
            np.testing.assert_allclose(to_numpy(new), to_numpy(other), rtol=1e-5, atol=1e-6)
    for variable, old in zip(loss.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), old)


def test_wrong_numbers_of_values_raise():
    loss = built(InfoNCE(LearnableTemperature()))
    with pytest.raises(ValueError, match="zip"):
        loss.stateless_call([], [], None, tuple(normal(2, 5, 3)), training=True)


class Tracer:
    """Stands for an array of a function that JAX traces."""


class DynamicTracer(Tracer):
    pass


@pytest.mark.traced
@pytest.mark.parametrize("name", STATEFUL)
def test_a_traced_call_that_changes_state_raises(name):
    layers = built(STATEFUL[name]()).layers
    arguments = (layers, DynamicTracer())
    with pytest.raises(ValueError, match=r"`Loss` cannot change its state.*`loss.stateless_call\("):
        check_state_can_change("Loss", *arguments, True)
    check_state_can_change("Loss", *arguments, False)
    check_state_can_change("Loss", layers, ops.ones((2, 3)), True)
    with keras.StatelessScope():
        check_state_can_change("Loss", *arguments, True)


@pytest.mark.traced
def test_a_traced_call_without_state_is_allowed():
    layers = built(InfoNCE(LearnableTemperature())).layers
    check_state_can_change("Loss", layers, DynamicTracer(), True)
