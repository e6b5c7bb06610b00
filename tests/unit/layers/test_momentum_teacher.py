"""Momentum teacher: averages equal their closed form, and layers compute with them."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.layers import MomentumTeacher
from tests.helpers.backend import to_numpy, value_and_gradients
from tests.helpers.towers import settle, tower


def followed(momentum=0.9, layers=None):
    layers = layers or [settle(tower(3))]
    slow = MomentumTeacher(momentum)
    slow.follow(layers)
    return layers[0], slow


def test_average_equals_the_closed_form(rng):
    layer, slow = followed(momentum=0.9)
    steps = [
        [rng.normal(size=weight.shape) for weight in layer.trainable_variables] for _ in range(7)
    ]
    for values in steps:
        for weight, value in zip(layer.trainable_variables, values, strict=True):
            weight.assign(value)
        slow.update()
    shares = [0.9**6] + [0.1 * 0.9 ** (6 - step) for step in range(1, 7)]
    assert sum(shares) == pytest.approx(1)
    for place, average in enumerate(slow.values()):
        expected = sum(share * values[place] for share, values in zip(shares, steps, strict=True))
        np.testing.assert_allclose(to_numpy(average), expected, atol=1e-6)


def test_average_equals_the_weight_before_the_first_update():
    layer, slow = followed()
    layer.layers[-1].bias.assign(np.arange(4.0))  # like weights that are loaded after `follow`
    np.testing.assert_array_equal(to_numpy(slow.values()[-1]), np.arange(4.0))
    slow.update()
    np.testing.assert_array_equal(to_numpy(slow.averages[-1]), np.arange(4.0))


def test_average_of_a_constant_weight_equals_it_exactly():
    layer, slow = followed(momentum=0.995)
    for _ in range(20):
        slow.update()
    for average, weight in zip(slow.averages, layer.trainable_variables, strict=True):
        np.testing.assert_array_equal(to_numpy(average), to_numpy(weight))


def test_layers_compute_with_the_averages_in_the_block_only(rng):
    layer, slow = followed()
    x = rng.normal(size=(5, 3)).astype("float32")
    before = to_numpy(layer(x))
    slow.update()
    for weight in layer.trainable_variables:
        weight.assign(weight + 1.0)
    with slow.in_place():
        within = to_numpy(layer(x))
    np.testing.assert_allclose(within, before, atol=1e-6)
    assert np.abs(to_numpy(layer(x)) - before).max() > 0.1


@pytest.mark.parametrize("compiled", [False, True])
def test_no_gradient_reaches_the_averages(compiled):
    layer, slow = followed()
    slow.update()

    def value(x):
        plain = ops.sum(layer(x))
        with slow.in_place():
            return plain + ops.sum(layer(ops.stop_gradient(x))) * 10.0

    value, (gradient,) = value_and_gradients(value, np.ones((2, 3), "float32"), compiled=compiled)
    plain, (expected,) = value_and_gradients(
        lambda x: ops.sum(layer(x)), np.ones((2, 3), "float32")
    )
    np.testing.assert_allclose(value, 11 * plain, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_state_changes_in_the_block_are_dropped(rng):
    norm = keras.layers.BatchNormalization()
    norm.build((None, 3))
    _, slow = followed(layers=[norm])
    x = rng.normal(size=(8, 3)).astype("float32") + 5
    with slow.in_place():
        norm(x, training=True)
    np.testing.assert_array_equal(to_numpy(norm.moving_mean), np.zeros(3))


def test_frozen_weights_have_an_average_and_shared_weights_have_one():
    shared, frozen = settle(tower(3)), settle(tower(3))
    frozen.trainable = False
    slow = MomentumTeacher()
    slow.follow([shared, frozen, shared])
    assert len(slow.averages) == len(shared.weights) + len(frozen.weights) == 8
    assert not slow.trainable_variables
    assert all(average.dtype == "float32" for average in slow.averages)


def test_moving_statistics_are_averaged_and_seeds_are_not(rng):
    layers = [keras.layers.Dropout(0.5, seed=1), keras.layers.BatchNormalization(momentum=0.0)]
    layer = keras.Sequential([keras.Input((3,)), *layers])
    _, slow = followed(momentum=0.5, layers=[layer])
    assert len(slow.averages) == 4
    slow.update()
    x = rng.normal(size=(64, 3)).astype("float32") + 5
    layers[1](x, training=True)
    slow.update()
    with slow.in_place():
        within = to_numpy(layers[1](np.zeros((1, 3), "float32")))
    mean, variance = (
        to_numpy(part) / 2 for part in (layers[1].moving_mean, layers[1].moving_variance)
    )
    np.testing.assert_allclose(within[0], -mean / np.sqrt(variance + 0.5 + 1e-3), atol=1e-4)


def test_soft_target_fraction_rises_over_the_steps():
    _, teacher = followed()
    teacher.soft_targets, teacher.soft_target_steps = 0.4, 4
    fractions = []
    for _ in range(6):
        teacher.update()
        fractions.append(float(teacher.soft_target_fraction()))
    assert fractions == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.4])
