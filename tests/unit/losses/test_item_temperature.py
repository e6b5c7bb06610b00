"""A temperature for each item: the steps of LibAUC, repeated and unknown items, saved state."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import ItemTemperature
from keras_contrastive.losses import GlobalContrastive, InfoNCE
from tests.helpers import normal
from tests.helpers.backend import COMPILE_LEAST, FASTEST, gradients, to_numpy
from tests.helpers.towers import pairs, towers
from tests.reference.differences import numeric_gradient
from tests.reference.losses import directions
from tests.reference.temperatures import ItemTemperatures

SETTINGS = {
    "initial": 0.3,
    "lowest": 0.1,
    "highest": 0.5,
    "rho": 0.4,
    "learning_rate": 0.05,
    "momentum": 0.2,
}
BATCHES = [np.array(ids) for ids in ([0, 1, 2, 3, 4], [5, 1, 3, 6, 0], [1, 0, 3, 2, 6])]


def built(items=8, **kwargs):
    settings = {name: kwargs.pop(name, value) for name, value in SETTINGS.items()}
    loss = GlobalContrastive(items, ItemTemperature(**settings), momentum=0.3, **kwargs)
    loss.build()
    return loss


def train(loss, ids, views):
    state = [variable for layer in loss.layers for variable in layer.variables]
    return gradients(lambda *z: loss(ids, z, training=True), *views, variables=state, **FASTEST)


def test_steps_equal_those_of_libauc():
    loss = built(max_weight=1e6)
    reference = ItemTemperatures(8, **SETTINGS, average_momentum=0.3)
    for seed, ids in enumerate(BATCHES):
        views = normal(2, 5, 3, seed=seed)
        temperatures = reference.temperatures[ids]
        weights = reference.step(views, ids)
        found = train(loss, ids, views)
        surrogate = functools.partial(
            objective, ids=ids, temperatures=temperatures, weights=weights / SETTINGS["initial"]
        )
        a, b = views
        sides = ((found[0], a, lambda x, b=b: (x, b)), (found[1], b, lambda x, a=a: (a, x)))
        for gradient, x, at in sides:
            expected = numeric_gradient(lambda x, at=at, f=surrogate: f(at(x)), x)
            np.testing.assert_allclose(gradient, expected, atol=1e-4)
    state = loss.temperature
    np.testing.assert_allclose(to_numpy(state.temperatures)[:-1], reference.temperatures, rtol=1e-4)
    np.testing.assert_allclose(to_numpy(state.slopes)[:-1], reference.momenta, rtol=1e-3, atol=1e-5)
    seen = sorted({item for ids in BATCHES for item in ids})
    np.testing.assert_allclose(
        to_numpy(loss.state.log_rates)[seen], np.log(reference.averages[seen]), rtol=1e-3
    )
    assert np.all(to_numpy(state.temperatures)[[7, 8]] == np.float32(SETTINGS["initial"]))


def objective(views, ids, temperatures, weights):
    """The function that a step differentiates: weighted logs of the batch's partitions."""
    total = 0.0
    for d, (products, is_positive, is_negative) in enumerate(directions(views, ids, 1.0)):
        for i, tau in enumerate(temperatures[:, d]):
            h = (products[i][is_negative[i]] - products[i][is_positive[i]]) / tau
            total += weights[i, d] * np.log(np.mean(np.exp(h)))
    return total / weights.size


def test_the_difference_to_libauc_is_of_second_order_in_the_learning_rate():
    # LibAUC does not adjust averages to the new temperature of an item.
    differences = []
    for rate in (1e-3, 1e-4):
        settings = {**SETTINGS, "learning_rate": rate, "average_momentum": 0.3}
        ours, theirs = (ItemTemperatures(8, **settings) for _ in range(2))
        for seed, ids in enumerate(BATCHES):
            views = normal(2, 5, 3, seed=seed)
            ours.step(views, ids)
            theirs.step(views, ids, adjust=False)
            if seed == 0:
                np.testing.assert_array_equal(ours.temperatures, theirs.temperatures)
        differences.append(np.abs(ours.temperatures - theirs.temperatures).max())
    assert differences[0] < 1e-3
    assert differences[0] / differences[1] == pytest.approx(100, rel=0.2)


@pytest.mark.parametrize("training", [True, False])
def test_values_have_the_temperature_of_each_item_and_in_evaluation_the_mean(training):
    loss = built(reduction=None)
    temperatures = np.linspace(0.1, 0.5, 18).reshape(9, 2)
    loss.temperature.temperatures.assign(temperatures)
    views, ids = normal(2, 5, 3), BATCHES[0]
    mean = temperatures[:-1].mean()
    expected = np.zeros(5)
    for d, (products, is_positive, is_negative) in enumerate(directions(views, ids, 1.0)):
        for i in range(5):
            h = products[i][is_negative[i]] - products[i][is_positive[i]]
            of_item = temperatures[ids[i], d] if training else mean
            expected[i] += np.log(np.mean(np.exp(h / of_item))) / 2
    assert float(loss.scale()) == pytest.approx(1 / mean, rel=1e-5)
    found = to_numpy(loss(ids, tuple(views), training=training))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_repeated_unknown_and_broken_rows():
    layer = ItemTemperature(**{**SETTINGS, "momentum": 0.0})
    layer.build((4, 1))
    slopes = np.array([[1.0], [3.0], [np.nan], [0.5], [9.0]], "float32")
    layer.update(ops.convert_to_tensor([0, 0, 1, 2, 7]), ops.convert_to_tensor(slopes))
    steps = np.array([2.0, 0.0, 0.5, 0.0, 0.0]) + 0.4 * np.array(
        [1, 0, 1, 0, 0]
    )  # the mean, and rho
    expected = SETTINGS["initial"] - SETTINGS["learning_rate"] * steps
    np.testing.assert_allclose(to_numpy(layer.temperatures)[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
def test_a_row_that_is_not_finite_moves_no_temperature_that_depends_on_it(value):
    loss, (a, b) = built(), normal(2, 5, 3)
    a[2] = value
    train(loss, BATCHES[0], (a, b))
    moved = to_numpy(loss.temperature.temperatures)[:5] != np.float32(SETTINGS["initial"])
    # Row 2 of the first view is an anchor, and a candidate of all anchors of the second view.
    np.testing.assert_array_equal(moved[:, 0], [True, True, False, True, True])
    assert not moved[:, 1].any()
    assert np.isfinite(to_numpy(loss.temperature.slopes)).all()


def test_temperatures_stay_within_their_limits():
    layer = ItemTemperature(**SETTINGS)
    layer.build((2, 1))
    for _ in range(20):
        layer.update(ops.arange(2), ops.convert_to_tensor([[9.0], [-9.0]]))
    np.testing.assert_allclose(to_numpy(layer.temperatures)[:2, 0], [0.1, 0.5], rtol=1e-6)


def test_only_a_loss_with_state_of_its_items_takes_it():
    with pytest.raises(ValueError, match=r"without state of its items.*`GlobalContrastive\(num_"):
        InfoNCE(ItemTemperature())
    with pytest.raises(ValueError, match=r"`input_shape` must be the numbers of items"):
        ItemTemperature().build((None, 2))


@pytest.mark.slow_to_compile
def test_trains_is_saved_and_logged(tmp_path):
    model = ContrastiveTrainer(towers())
    loss = GlobalContrastive(24, ItemTemperature(**SETTINGS))
    model.compile("sgd", loss=loss, **COMPILE_LEAST)
    history = model.fit(pairs(24), epochs=2, verbose=0).history
    assert history["temperature"][-1] == pytest.approx(1 / float(loss.scale()), rel=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    found, expected = (to_numpy(x.loss.temperature.temperatures) for x in (again, model))
    np.testing.assert_array_equal(found, expected)
    assert np.std(expected[:-1]) > 0
    assert repr(again.loss.temperature).startswith("ItemTemperature(0.3, lowest=0.1")
