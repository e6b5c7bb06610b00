"""GammaContrastive without ids: one estimate of the partition that all items share."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.losses import DecoupledContrastive, GammaContrastive, InfoNCE, Matryoshka
from tests.helpers import normal
from tests.helpers.backend import gradients, to_numpy
from tests.reference import losses as reference
from tests.reference.differences import numeric_gradient

TEMPERATURE = 0.5
IDS = np.arange(6)  # of the references: the loss gets none


def built(log_rates=None, **kwargs):
    loss = GammaContrastive(TEMPERATURE, **kwargs)
    loss.build()
    if log_rates is not None:
        loss.state.log_rates.assign(log_rates)
    return loss


def step(loss, *views, **kwargs):
    return gradients(
        lambda *views: loss(None, views, training=True, **kwargs),
        *views,
        variables=[variable for layer in loss.layers for variable in layer.variables],
    )


def marginal(views, log_rates, prior):
    """Mean negative log-likelihood with u ~ Gamma(prior, prior r) integrated out.

    The integral of u exp(-u S) times the density of the prior is
    prior (prior r) ** prior / (prior r + S) ** (prior + 1).
    """
    return reference.gamma_marginal(views, IDS, TEMPERATURE, log_rates, prior).mean()


@pytest.mark.parametrize("prior", [0.25, 3.0])
def test_gradient_is_that_of_the_marginal_likelihood(prior):
    a, b = normal(2, 6, 3)
    log_rates = np.array([-0.4, 0.9])
    found = step(built(log_rates, prior=prior), a, b)
    for z, gradient, at in ((a, found[0], lambda x: (x, b)), (b, found[1], lambda x: (a, x))):
        expected = numeric_gradient(lambda x, at=at: marginal(at(x), log_rates, prior), z)
        np.testing.assert_allclose(gradient, expected, atol=1e-4)


@pytest.mark.parametrize("momentum", [0.6, "visits"])
@pytest.mark.parametrize("prior", [None, 2.0, math.inf])
def test_estimate_is_multiplied_by_the_mean_weight(prior, momentum):
    loss, log_rates = built(prior=prior, momentum=momentum), None
    for count, views in enumerate(normal(4, 2, 6, 3, seed=1), start=1):
        loss(None, tuple(views), training=True)
        kept = 1 - count**-0.7 if momentum == "visits" else momentum
        share = 1 - kept if prior is None else 1 / (prior + 1)
        fresh = np.exp(reference.log_mean_partitions(views, IDS, TEMPERATURE))
        old = fresh.mean(axis=0) if log_rates is None else np.exp(log_rates)
        weights = fresh / ((1 - share) * old + share * fresh)
        log_rates = np.log(old * (kept + (1 - kept) * weights.mean(axis=0)))
        np.testing.assert_allclose(to_numpy(loss.state.log_rates), log_rates, atol=1e-5)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("prior", [0.5, 4.0])
def test_steps_of_em_never_increase_the_marginal_loss(prior):
    a, b = normal(2, 6, 3)
    loss = built([3.0, -2.0], prior=prior, momentum=0.0)

    def value():
        return marginal((a, b), to_numpy(loss.state.log_rates).astype("float64"), prior)

    values = [value()]
    for _ in range(8):
        loss(None, (a, b), training=True)  # the M-step of the estimate
        values.append(value())
    assert values[0] - values[-1] > 0.1
    for _ in range(4):
        gradient = step(loss, a, b)
        values.append(value())
        a, b = a - 0.2 * gradient[0], b - 0.2 * gradient[1]
        values.append(value())
    assert values[8] - values[-1] > 0.05
    assert np.all(np.diff(values) < 1e-6)


def test_mean_weight_is_1_at_the_fixed_point():
    views = normal(2, 6, 3)
    loss = built([3.0, -2.0], prior=2.0, momentum=0.0)
    for _ in range(60):
        loss(None, tuple(views), training=True)
    fresh = np.exp(reference.log_mean_partitions(views, IDS, TEMPERATURE))
    weights = 3 * fresh / (2 * np.exp(to_numpy(loss.state.log_rates)) + fresh)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=1e-5)
    assert weights.std(axis=0).min() > 0.05


@pytest.mark.parametrize("include_positive", [False, True])
def test_a_prior_of_0_uses_the_batch_alone(include_positive):
    views = normal(2, 6, 3)
    other = InfoNCE(TEMPERATURE)
    if not include_positive:
        other = DecoupledContrastive(TEMPERATURE, all_views=False)
    loss = built([5.0, -5.0], prior=0, include_positive=include_positive)
    found, expected = step(loss, *views), gradients(lambda *z: other(None, z), *views)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow_to_compile
def test_minibatch_gradient_is_unbiased_with_the_estimate_alone():
    a, b = normal(2, 6, 3)

    def gradient(rows):
        rows = [0, *rows]
        loss = GammaContrastive(TEMPERATURE, prior=math.inf, symmetric=False, reduction="sum")
        loss.build()
        loss.state.log_rates.assign([0.3])
        return step(loss, a[rows], b[rows], sample_weight=np.eye(1, len(rows))[0])[0][0]

    pairs = itertools.combinations(range(1, 6), 2)
    mean = np.mean([gradient(pair) for pair in pairs], axis=0)
    np.testing.assert_allclose(mean, gradient(range(1, 6)), rtol=1e-4, atol=1e-5)


def test_weights_are_below_prior_plus_1():
    a, b = normal(2, 6, 3)
    strongest = step(built([-200.0, -200.0], prior=2.0), a, b)
    # All partitions are far above the estimate: each weight is prior + 1.
    fresh = np.exp(reference.log_mean_partitions((a, b), IDS, TEMPERATURE))
    expected = numeric_gradient(
        lambda x: reference.exponential((x, b), IDS, TEMPERATURE, 3 / fresh).mean(), a
    )
    np.testing.assert_allclose(strongest[0], expected, atol=1e-4)


def test_draws_multiply_the_partition_and_differ_in_each_step():
    a, b = normal(2, 6, 3)
    loss = built([0.1, 0.2], prior=math.inf, momentum=0.99, draws=1, seed=3)
    first, second = (step(loss, a, b)[0] for _ in range(2))
    assert np.linalg.norm(second - first) > 0.1 * np.linalg.norm(first)


def test_a_batch_without_information_changes_nothing():
    loss = built([0.5, -0.5])
    (z,) = normal(1, 1, 3)
    loss(None, (z, z), training=True)  # no negatives
    a, b = normal(2, 6, 3)
    loss(None, (a, b), training=False)
    np.testing.assert_allclose(to_numpy(loss.state.log_rates), [0.5, -0.5])
    absent = {0: np.zeros(6, bool)}
    loss(None, (a, b), training=True, present=absent)
    np.testing.assert_allclose(to_numpy(loss.state.log_rates), [0.5, -0.5])


def test_plain_model_keeps_no_state_and_has_the_jackknife_gradient():
    a, b = normal(2, 6, 3)
    loss = GammaContrastive(TEMPERATURE)
    found = gradients(lambda *z: loss(None, z), a, b)
    expected = numeric_gradient(lambda x: reference.jackknifed((x, b), IDS, TEMPERATURE).mean(), a)
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
    value = float(loss(None, (a, b)))
    assert value == pytest.approx(reference.decoupled((a, b), IDS, TEMPERATURE).mean(), rel=1e-5)
    # Pinned: nothing changes for a model that is trained this way.
    assert value == pytest.approx(1.2388574, rel=1e-5)
    np.testing.assert_allclose(found[0][0], [0.1181409, -0.4394341, -0.1138393], rtol=1e-4)
    assert (loss.state, loss.layers) == (None, [])
    with pytest.raises(ValueError, match="training=None"):
        built()(None, (a, b))


def test_items_without_ids_train_and_the_estimates_are_saved(tmp_path):
    x = dict(zip("ab", normal(2, 12, 3), strict=True))
    model = ContrastiveTrainer({"a": keras.layers.Identity(), "b": keras.layers.Dense(3)})
    model.compile("sgd", GammaContrastive(TEMPERATURE, prior=2.0, momentum="visits"))
    model.fit(x, batch_size=4, verbose=0)
    rates = to_numpy(model.loss.state.log_rates)
    assert np.all(np.isfinite(rates))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.prior == 2.0
    np.testing.assert_array_equal(to_numpy(again.loss.state.log_rates), rates)
    assert int(ops.convert_to_numpy(again.loss.state.step)) == 3
    with pytest.raises(ValueError, match="a loss for each model"):
        again.loss.build(again.loss.directions(("a", "b", "c")))
    with pytest.raises(ValueError, match="running partitions for 2 directions"):
        built()(None, tuple(normal(3, 4, 3)), training=True)
    with pytest.raises(ValueError, match="`loss` must have no state"):
        Matryoshka(GammaContrastive(), (2, 3)).build()
