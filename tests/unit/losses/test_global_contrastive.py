"""SogCLR: the moving average, its schedule, and its gradient."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.losses import GammaContrastive, GlobalContrastive
from tests.helpers.backend import gradients, to_numpy
from tests.reference import losses as reference
from tests.reference.differences import numeric_gradient

IDS = np.array([4, 1, 0, 3, 7])
TEMPERATURE = 0.5


def embeddings(seed=0, views=2):
    return np.random.default_rng(seed).normal(size=(views, 5, 3)).astype("float32")


def built(**kwargs):
    loss = GlobalContrastive(8, temperature=TEMPERATURE, **kwargs)
    loss.build()
    return loss


def step(loss, z):
    variables = [variable for layer in loss.layers for variable in layer.variables]
    return gradients(lambda *views: loss(IDS, views, training=True), *z, variables=variables)


def centered(z, all_views=False):
    """Log of the mean of exp(negative - positive), `(batch, directions)`."""
    columns = []
    for logits, is_positive, is_negative in reference.directions(
        z, IDS, TEMPERATURE, all_views=all_views
    ):
        rows = zip(logits, is_positive, is_negative, strict=True)
        columns.append([np.log(np.mean(np.exp(row[n] - row[p].mean()))) for row, p, n in rows])
    return np.array(columns).T


@pytest.mark.parametrize("all_views", [False, True])
def test_value_is_the_log_of_the_mean_over_the_negatives(all_views):
    z = embeddings()
    loss = built(all_views=all_views, reduction=None)
    expected = centered(z, all_views).mean(axis=1)
    for training in (True, False, True):
        np.testing.assert_allclose(
            to_numpy(loss(IDS, list(z), training=training)), expected, rtol=1e-4, atol=1e-6
        )


def test_gradient_equals_the_exponential_loss_at_the_average():
    first, second = embeddings(1), embeddings(2)
    loss = built(momentum=0.6, max_weight=1e6)
    step(loss, first)
    found = step(loss, second)
    averages = 0.6 * np.exp(centered(first)) + 0.4 * np.exp(centered(second))
    for which, gradient in enumerate(found):

        def surrogate(x, which=which):
            z = [x if i == which else second[i] for i in range(2)]
            return (np.exp(centered(z)) / averages).mean()

        np.testing.assert_allclose(gradient, numeric_gradient(surrogate, second[which]), atol=5e-5)
    np.testing.assert_allclose(np.exp(to_numpy(loss.state.log_rates)[IDS]), averages, rtol=1e-5)
    assert np.isneginf(to_numpy(loss.state.log_rates)[[2, 5, 6]]).all()


def test_momentum_rises_along_half_a_cosine():
    loss = built(momentum=0.8, momentum_steps=4)
    found = []
    for count in range(6):
        loss.state.step.assign(count)
        found.append(float(to_numpy(loss._current_momentum())))
    # SogCLR's gamma: 0.5 (1 + cos(pi e / E)) (1 - gamma_min) + gamma_min, of which this is the
    # complement.
    gammas = [0.5 * (1 + np.cos(np.pi * e / 4)) * 0.8 + 0.2 for e in (0, 1, 2, 3, 4, 4)]
    np.testing.assert_allclose(found, 1 - np.array(gammas), atol=1e-6)


def test_the_momentum_schedule_affects_the_estimates():
    z = embeddings()
    loss = built(momentum=0.9, momentum_steps=100)
    for seed in (1, 0):
        step(loss, embeddings(seed))
    # After one step the momentum is still almost zero: the last batch is all there is.
    np.testing.assert_allclose(to_numpy(loss.state.log_rates)[IDS], centered(z), atol=2e-3)


def test_weights_are_limited_and_counted():
    loss = built(momentum=0.99, max_weight=2.0)
    loss.state.log_rates.assign(ops.full(loss.state.log_rates.shape, -20.0))
    found = step(loss, embeddings())
    assert loss.num_capped == 10
    assert np.isfinite(found).all()


def test_with_equal_positives_it_equals_the_gamma_loss_without_draws():
    a = embeddings()[0]
    z = [a, a]  # every positive has the cosine 1
    loss, sibling = built(momentum=0.6), GammaContrastive(TEMPERATURE, num_items=8, momentum=0.6)
    sibling.build()
    for _ in range(2):
        loss(IDS, z, training=True), sibling(IDS, z, training=True)
    difference = to_numpy(sibling.state.log_rates)[IDS] - to_numpy(loss.state.log_rates)[IDS]
    np.testing.assert_allclose(difference, 1 / TEMPERATURE, rtol=1e-4)


def test_missing_items_ids_or_tracking_raise():
    with pytest.raises(TypeError, match="num_items"):
        GlobalContrastive(None)
    with pytest.raises(ValueError, match="neither tracks nor saves"):
        GlobalContrastive(8)(IDS, list(embeddings()))
    with pytest.raises(ValueError, match="Received: no ids"):
        built()(None, list(embeddings()), training=True)
    with pytest.raises(ValueError, match="momentum_steps"):
        GlobalContrastive(8, momentum_steps=0)
    with pytest.raises(ValueError, match="schedule of its own"):
        GlobalContrastive(8, momentum="visits", momentum_steps=5)


def test_configuration_survives_a_round_trip():
    loss = GlobalContrastive(8, momentum=0.3, momentum_steps=7, all_views=True, name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    assert (again.num_items, again.momentum_steps, again.all_views) == (8, 7, True)
