"""GammaContrastive: draws, stored estimates, and a gradient without minibatch bias."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive._draws import gamma, hash_keys
from keras_contrastive.losses import ContrastiveLoss, GammaContrastive, InfoNCE
from keras_contrastive.losses._item_rates import mean_by_id
from tests.helpers.backend import FASTEST, gradients, to_numpy
from tests.reference import losses as reference
from tests.reference.differences import numeric_gradient

TEMPERATURE = 0.5


def embeddings(rows=6, dim=3, seed=0, views=2):
    return list(np.random.default_rng(seed).normal(size=(views, rows, dim)).astype("float32"))


def stateful(num_items=6, log_rates=None, **kwargs):
    """A loss with one rate for each item and direction, as the trainer builds it."""
    loss = GammaContrastive(temperature=TEMPERATURE, num_items=num_items, **kwargs)
    loss.build()
    if log_rates is not None:
        table = np.full(loss.state.log_rates.shape, -np.inf, "float32")
        table[:num_items] = log_rates
        loss.state.log_rates.assign(table)
    return loss


def step(loss, ids, *views, **kwargs):
    """The gradients of one training step, which also updates the state."""
    variables = [variable for layer in loss.layers for variable in layer.variables]
    return gradients(
        lambda *views: loss(ids, views, training=True, **kwargs), *views, variables=variables
    )


def rates_of(loss):
    return to_numpy(loss.state.log_rates)[: loss.num_items]


# The augmented gradient


def test_gradient_equals_the_exponential_loss_at_the_stored_estimates():
    a, b = embeddings()
    ids = np.arange(6)
    log_rates = np.random.default_rng(3).normal(size=(6, 2))
    loss = stateful(log_rates=log_rates, prior=math.inf)
    found = step(loss, ids, a, b)
    weights = np.exp(-log_rates)
    for z, gradient, at in ((a, found[0], lambda x: (x, b)), (b, found[1], lambda x: (a, x))):
        expected = numeric_gradient(
            lambda x, at=at: reference.exponential(at(x), ids, TEMPERATURE, weights).mean(), z
        )
        np.testing.assert_allclose(gradient, expected, atol=1e-4)


def test_draws_multiply_only_the_partition():
    a, b = embeddings()
    ids = np.arange(6)
    log_rates = np.zeros((6, 2))
    loss = stateful(log_rates=log_rates, prior=math.inf, draws=3, seed=11)
    (found, _) = step(loss, ids, a, b)
    keys = hash_keys(11, ops.convert_to_tensor(0, dtype="int32"), ops.arange(6, dtype="int32"))
    weights = to_numpy(gamma(keys, 3, 2, "float32"))
    expected = numeric_gradient(
        lambda x: reference.exponential((x, b), ids, TEMPERATURE, weights).mean(), a
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("labels", [None, [0, 0, 0, 1, 1, 2, 2, 2]], ids=["views", "labels"])
@pytest.mark.parametrize("prior", [math.inf, None, 0])
def test_included_positive_is_added_to_the_stored_estimate(labels, prior):
    # Each positive has the rate: estimate of the negatives + exp(logit) / (items - 1).
    views = embeddings(rows=8, views=2 if labels is None else 1)
    ids = np.arange(8) if labels is None else np.array(labels)
    stored = np.random.default_rng(3).normal(size=8)[ids][:, None]
    table = np.full((9, 1), -np.inf, "float32")
    table[ids] = stored
    loss = GammaContrastive(
        temperature=TEMPERATURE,
        num_items=8,
        prior=prior,
        include_positive=True,
        symmetric=False,
    )
    loss.build(None if labels is None else {})
    loss.state.log_rates.assign(table)

    def terms(x):
        """Logits and masks of the only direction, with `x` as the anchors' view."""
        (found,) = reference.directions([x, *views[1:]], ids, TEMPERATURE, symmetric=False)
        return found

    def negatives(x):
        logits, _, is_negative = terms(x)
        return (np.exp(logits) * is_negative).sum(axis=1) / is_negative.sum(axis=1)

    share = {math.inf: 0.0, None: 0.3, 0: 1.0}[prior]
    estimates = (1 - share) * np.exp(stored[:, 0]) + share * negatives(views[0])
    fixed, is_positive, _ = terms(views[0])
    rates = estimates[:, None] + np.exp(fixed) / 7

    def augmented(x):
        logits = terms(x)[0]
        partitions = negatives(x)[:, None] + np.exp(logits) / 7
        losses = (partitions / rates - logits) * is_positive
        return (losses.sum(axis=1) / is_positive.sum(axis=1)).mean()

    found = (
        step(loss, ids, *views)
        if labels is None
        else gradients(
            lambda x: loss(ids, x, training=True),
            views[0],
            variables=loss.state.variables,
            **FASTEST,
        )
    )
    np.testing.assert_allclose(found[0], numeric_gradient(augmented, views[0]), atol=1e-4)


def subset_gradients(loss_of, m=2, population=5):
    """Returns the mean gradient of an anchor over pairs of negatives, and that for all five."""
    a, b = embeddings(rows=population + 1)

    def gradient(rows):
        rows = [0, *rows]
        ids = np.array(rows)
        only_the_anchor = np.eye(1, len(rows))[0]
        found, _ = step(loss_of(), ids, a[rows], b[rows], sample_weight=only_the_anchor)
        return found[0]

    subsets = itertools.combinations(range(1, population + 1), m)
    return np.mean([gradient(rows) for rows in subsets], axis=0), gradient(range(1, population + 1))


def fixed_rate(**kwargs):
    return stateful(
        6,
        np.full((6, 1), 0.3),
        symmetric=False,
        reduction="sum",
        **kwargs,
    )


@pytest.mark.slow_to_compile
def test_minibatch_gradient_is_unbiased_at_a_stored_estimate():
    # Enumerates all ten minibatches of two of the five negatives.
    mean, full = subset_gradients(lambda: fixed_rate(prior=math.inf))
    np.testing.assert_allclose(mean, full, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("include_positive", [False, True])
def test_an_estimate_from_the_same_batch_is_biased(include_positive):
    # The trap: the mean of the minibatch gradients misses the full one by as much as InfoNCE's.
    mean, full = subset_gradients(lambda: fixed_rate(prior=0, include_positive=include_positive))
    assert np.linalg.norm(mean - full) > 0.03 * np.linalg.norm(full)


def test_gradient_of_infonce_is_biased():
    mean, full = subset_gradients(lambda: InfoNCE(TEMPERATURE, symmetric=False, reduction="sum"))
    assert np.linalg.norm(mean - full) > 0.03 * np.linalg.norm(full)


# Reductions to other losses


def test_batch_rate_with_the_positive_equals_infonce():
    a, b = embeddings()
    ids = np.arange(6)
    # M = 5 negatives in all: the positive counts as in a batch of six.
    loss = stateful(num_items=6, prior=0, include_positive=True)
    found = step(loss, ids, a, b)
    expected = gradients(lambda a, b: InfoNCE(TEMPERATURE)(ids, (a, b)), a, b)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_first_visit_equals_the_decoupled_loss():
    a, b = embeddings()
    ids = np.arange(6)
    found, _ = step(stateful(draws=None), ids, a, b)
    expected = numeric_gradient(lambda x: reference.decoupled((x, b), ids, TEMPERATURE).mean(), a)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_mean_draw_and_updated_estimate_equal_sogclr():
    # SogCLR: the softmax over the batch, with the moving average of the partition as its
    # denominator.
    a, b = embeddings()
    ids = np.arange(6)
    old = np.random.default_rng(5).normal(size=(6, 2))
    fresh = reference.log_mean_partitions((a, b), ids, TEMPERATURE)
    average = 0.6 * np.exp(old) + 0.4 * np.exp(fresh)
    loss = stateful(log_rates=old, momentum=0.6, draws=None)
    found, _ = step(loss, ids, a, b)
    expected = numeric_gradient(
        lambda x: reference.exponential((x, b), ids, TEMPERATURE, 1 / average).mean(), a
    )
    np.testing.assert_allclose(found, expected, atol=5e-5)
    np.testing.assert_allclose(rates_of(loss), np.log(average), atol=1e-5)


def test_full_batch_steps_never_increase_the_loss():
    # With the rate of the last step, each small step of the surrogate goes down the true loss.
    a, b = embeddings()
    ids = np.arange(6)
    loss = stateful(prior=math.inf, momentum=0.0)
    values = []
    for _ in range(15):
        values.append(float(loss(ids, (a, b), training=False)))
        found = step(loss, ids, a, b)
        a, b = a - 0.1 * found[0], b - 0.1 * found[1]
    assert np.all(np.diff(values) < 0)


# Rates


def test_estimates_are_stored_by_id_and_averaged_over_repeated_ids():
    a, b = embeddings(rows=5)
    ids = np.array([4, 1, 4, 0, 1])
    loss = stateful(momentum=0.25, draws=None)
    loss(ids, (a, b), training=True)
    fresh = np.exp(reference.log_mean_partitions((a, b), ids, TEMPERATURE))
    expected = np.full((6, 2), -np.inf)
    for item in (0, 1, 4):
        expected[item] = np.log(fresh[ids == item].mean(axis=0))
    np.testing.assert_allclose(rates_of(loss), expected, rtol=1e-4, atol=1e-5)


def test_evaluation_does_not_change_the_state():
    z = embeddings()
    loss = stateful(draws=2)
    loss(np.arange(6), z, training=False)
    loss(None, z, training=False)
    assert np.all(np.isinf(rates_of(loss)))
    assert int(loss.state.step) == 0


@pytest.mark.parametrize("stranger", [-1, -(2**31), 6, 7, 2**31 - 1])
def test_an_unknown_id_on_the_device_changes_no_other_item(stranger):
    a, b = embeddings(rows=3)
    old = np.arange(12.0).reshape(6, 2)
    loss = stateful(log_rates=old, draws=None)
    ids = ops.convert_to_tensor(np.array([stranger, 2, 3], "int32"))
    found = step(loss, ids, a, b)
    assert np.all(np.isfinite(found))
    changed = np.any(rates_of(loss) != old.astype("float32"), axis=1)
    assert changed.tolist() == [False, False, True, True, False, False]


def test_a_row_without_negatives_keeps_its_estimate():
    a, b = embeddings(rows=1)
    loss = stateful(log_rates=np.ones((6, 2)), draws=None)
    assert float(loss(np.array([2]), (a, b), training=True)) == 0
    np.testing.assert_array_equal(rates_of(loss), np.ones((6, 2)))


def visit(loss, rng, ids):
    """One training step of these items, and the partitions that it saw."""
    views = rng.normal(size=(2, len(ids), 3)).astype("float32")
    step(loss, np.array(ids), *views)
    return np.exp(reference.log_mean_partitions(views, ids, TEMPERATURE))


def test_visits_momentum_averages_over_all_visits(rng):
    loss = stateful(momentum="visits", draws=None)
    batches = [[0, 1, 2], [0, 2, 3], [0, 1, 5], [0, 3, 2], [1, 0, 4], [0, 2, 5]]
    averages, visits = {}, dict.fromkeys(range(6), 0)
    for ids in batches:
        for item, fresh in zip(ids, visit(loss, rng, ids), strict=True):
            visits[item] += 1
            share = visits[item] ** -0.7
            averages[item] = (1 - share) * averages.get(item, 0.0) + share * fresh
    assert sorted(visits.values()) == [1, 2, 2, 3, 4, 6]
    expected = np.log([averages[item] for item in range(6)])
    np.testing.assert_allclose(rates_of(loss), expected, atol=1e-5)
    np.testing.assert_array_equal(
        to_numpy(loss.state.visits)[:6, 0], [visits[item] for item in range(6)]
    )


def test_a_visit_without_negatives_does_not_count(rng):
    loss = stateful(momentum="visits", draws=None)
    visit(loss, rng, [0, 1, 2])
    before = rates_of(loss)
    a, b = embeddings(rows=1)
    step(loss, np.array([2]), a, b)  # without negatives
    np.testing.assert_array_equal(to_numpy(loss.state.visits)[:4, 0], [1, 1, 1, 0])
    np.testing.assert_array_equal(rates_of(loss), before)


def test_visits_are_saved_with_the_model(tmp_path, rng):
    model = ContrastiveTrainer({"a": keras.layers.Identity(), "b": keras.layers.Dense(3)})
    model.compile("sgd", GammaContrastive(TEMPERATURE, num_items=6, momentum="visits"))
    model.fit(
        {name: rng.normal(size=(6, 3)).astype("float32") for name in "ab"},
        batch_size=3,
        epochs=2,
        verbose=0,
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.momentum == "visits"
    np.testing.assert_array_equal(
        to_numpy(again.loss.state.visits), to_numpy(model.loss.state.visits)
    )
    assert to_numpy(again.loss.state.visits)[:6].min() == 2


@pytest.mark.parametrize("prior", [0.0, 0.5, 3.0])
def test_weights_are_those_of_the_gamma_prior(prior):
    a, b = embeddings()
    log_rates = np.random.default_rng(3).normal(scale=2.0, size=(6, 2))
    log_rates[0] = -50  # far below any partition of these rows: the weight is the largest
    found = step(stateful(log_rates=log_rates, prior=prior), np.arange(6), a, b)
    fresh = np.exp(reference.log_mean_partitions((a, b), np.arange(6), TEMPERATURE))
    weights = (prior + 1) / (prior * np.exp(log_rates) + fresh)
    assert np.max(weights * fresh) < prior + 1 + 1e-9
    expected = numeric_gradient(
        lambda x: reference.exponential((x, b), range(6), TEMPERATURE, weights).mean(), a
    )
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


def test_updated_estimates_bound_the_weights():
    a, b = embeddings()
    found = step(stateful(log_rates=np.full((6, 2), -200.0), momentum=0.7), np.arange(6), a, b)
    assert np.abs(found).max() < 10


def test_mean_by_id_is_a_mean_of_exponentials():
    values = np.array([[0.0], [1000.0], [2.0], [-np.inf], [-np.inf]], "float32")
    found = to_numpy(mean_by_id(ops.array([5, 1, 5, 5, 9], dtype="int32"), values)[0])[:, 0]
    pair = math.log((1 + math.exp(2)) / 2)
    np.testing.assert_allclose(found, [pair, 1000, pair, pair, -np.inf], rtol=1e-6)


# In a plain model


@pytest.mark.traced
@pytest.mark.parametrize("draws", [1, 4, None])
def test_draws_differ_in_each_compiled_step_of_a_plain_model(draws):
    x, y = embeddings(rows=32, dim=4)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, use_bias=False)])
    rate = 1e-4
    model.compile(
        optimizer=keras.optimizers.SGD(rate),
        loss=GammaContrastive(TEMPERATURE, draws=draws, seed=0),
    )
    steps = []
    for _ in range(4):
        before = model.get_weights()[0]
        model.train_on_batch(x, y)
        steps.append((model.get_weights()[0] - before) / rate)
    changes = [np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in itertools.pairwise(steps)]
    if draws is None:
        assert max(changes) < 0.02  # the weights hardly move, and so does the gradient
    else:
        assert min(changes) > 0.05


def test_value_does_not_depend_on_draws():
    z = embeddings()
    values = [
        float(GammaContrastive(TEMPERATURE, draws=draws, seed=1)(None, z)) for draws in (None, 1, 8)
    ]
    np.testing.assert_allclose(values, values[0], rtol=1e-6)


def test_default_seed_follows_keras_and_is_saved():
    keras.utils.set_random_seed(3)
    seeds = [GammaContrastive().seed, GammaContrastive().seed]
    keras.utils.set_random_seed(3)
    assert GammaContrastive().seed == seeds[0] != seeds[1]
    assert GammaContrastive.from_config(GammaContrastive(seed=5).get_config()).seed == 5


def test_weights_may_be_unlimited():
    loss = GammaContrastive(num_items=4, prior=math.inf)
    assert GammaContrastive.from_config(loss.get_config()).prior == math.inf


# Errors


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"temperature": 0}, ValueError, "positive"),
        ({"temperature": -1.0}, ValueError, "logit scale"),
        ({"temperature": float("inf")}, ValueError, "finite"),
        ({"temperature": "0.1"}, TypeError, "LearnableTemperature"),
        ({"num_items": 0}, ValueError, "num_items"),
        ({"num_items": 2.5}, TypeError, "num_items"),
        ({"draws": 0}, ValueError, "draws"),
        ({"draws": True}, TypeError, "draws"),
        ({"momentum": 1.0}, ValueError, r"\[0, 1\)"),
        ({"momentum": -0.1}, ValueError, "momentum"),
        ({"momentum": "visit"}, ValueError, "or 'visits'. Received: momentum='visit'"),
        ({"prior": -0.5}, ValueError, "at least 0.*Received: prior=-0.5"),
        ({"prior": "strong"}, TypeError, "prior"),
        ({"seed": 0.5}, TypeError, "seed"),
    ],
)
def test_arguments_out_of_range_raise(arguments, error, words):
    with pytest.raises(error, match=words):
        GammaContrastive(**arguments)


def test_state_in_a_plain_model_raises():
    x, y = embeddings(rows=8, dim=4)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile(optimizer="sgd", loss=GammaContrastive(num_items=8))
    with pytest.raises(ValueError, match="ContrastiveTrainer"):
        model.fit(x, y, verbose=0)


def test_state_without_training_flag_or_ids_raises():
    z = embeddings()
    with pytest.raises(ValueError, match="training=None"):
        stateful()(np.arange(6), z)
    with pytest.raises(ValueError, match="no ids"):
        stateful()(None, z, training=True)


def test_building_for_another_number_of_directions_raises():
    loss = stateful()
    with pytest.raises(ValueError, match="a loss for each model"):
        loss.build(loss.directions(("a", "b", "c")))


def test_base_class_raises_without_per_direction():
    with pytest.raises(NotImplementedError):
        ContrastiveLoss()(None, embeddings())
