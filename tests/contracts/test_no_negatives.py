"""Contract of the losses without negatives: values, gradients, weights, configuration, training."""

import keras
import numpy as np
import pytest

from keras_contrastive import losses
from tests.contracts.loss_cases import WITHOUT_NEGATIVES
from tests.helpers import embeddings
from tests.helpers.backend import (
    compiled,
    gradients,
    lower_for_accelerators,
    to_numpy,
    value_and_gradients,
)
from tests.reference import batch_statistics as reference
from tests.reference.differences import numeric_gradient

STATISTICS = {name: WITHOUT_NEGATIVES[name] for name in ("BarlowTwins", "VICReg")}
each_loss = pytest.mark.parametrize("name", WITHOUT_NEGATIVES)
each_statistic = pytest.mark.parametrize("name", STATISTICS)
WEIGHTS = np.array([0, 1, 2, 0.5, 1], "float32")


def make(name, **kwargs):
    return WITHOUT_NEGATIVES[name][0](**kwargs)


def expected(name, views):
    return np.mean(WITHOUT_NEGATIVES[name][1](views))


def wide(views):
    """Views with correlated dimensions of unequal means and variances."""
    mixing = np.array([[2.0, 0.7, 0.0], [0.0, 0.4, 0.1], [0.3, 0.0, 0.01]])
    return [(view[:, :3] @ mixing + [1.0, -2.0, 0.5]).astype("float32") for view in views]


@each_loss
@pytest.mark.parametrize("rows", [2, 5, 40])
def test_value_and_gradient_equal_the_reference(name, rows):
    a, b = wide(embeddings(rows=rows))
    loss = make(name)
    value, found = value_and_gradients(lambda a, b: loss(None, (a, b)), a, b)
    assert value == pytest.approx(expected(name, (a, b)), rel=2e-5)
    for z, gradient, at in ((a, found[0], lambda x: (x, b)), (b, found[1], lambda x: (a, x))):
        slopes = numeric_gradient(lambda x, at=at: expected(name, at(x)), z)
        np.testing.assert_allclose(gradient, slopes, rtol=2e-3, atol=2e-4 * np.abs(slopes).max())


@each_loss
def test_compiled_equals_eager_for_batches_of_any_size(name):
    loss = make(name)
    evaluate = compiled(lambda a, b: loss(None, (a, b)))
    for rows in (1, 5, 8):
        z = [keras.ops.convert_to_tensor(view) for view in wide(embeddings(rows=rows))]
        assert float(evaluate(*z)) == pytest.approx(float(loss(None, z)), rel=1e-4, abs=1e-6)


@each_loss
def test_ids_have_no_influence_and_views_are_symmetric(name):
    a, b = wide(embeddings())
    loss = make(name)
    value = float(loss(None, (a, b)))
    assert float(loss(np.array([7, 3, 7, 0, 3]), {"x": a, "y": b})) == pytest.approx(value)
    assert float(loss(b, a)) == pytest.approx(value, rel=1e-5)
    assert float(loss(None, (b[::-1], a[::-1]))) == pytest.approx(value, rel=1e-5)


@each_loss
def test_three_views_are_compared_pair_by_pair(name):
    z = wide(embeddings(views=3))
    pairs = [(z[0], z[1]), (z[0], z[2]), (z[1], z[2])]
    mean = np.mean([expected(name, pair) for pair in pairs])
    assert float(make(name)(None, z)) == pytest.approx(mean, rel=1e-4)
    of_one = make(name)(None, z, directions={(2, 0): 1.0})
    assert float(of_one) == pytest.approx(expected(name, pairs[1]), rel=1e-4)


@each_statistic
def test_sample_weights_weigh_the_rows_of_the_statistics(name):
    views = wide(embeddings())
    value = STATISTICS[name][1](views, WEIGHTS)
    for reduction, factor in {
        "mean_with_sample_weight": 1.0,
        "sum_over_batch_size": WEIGHTS.mean(),
        "sum": WEIGHTS.sum(),
        None: WEIGHTS,
    }.items():
        found = make(name, reduction=reduction)(None, views, sample_weight=WEIGHTS)
        np.testing.assert_allclose(to_numpy(found), value * factor, rtol=1e-4)
    assert float(make(name)(None, views, sample_weight=np.zeros(5))) == 0


@each_loss
def test_missing_rows_have_no_influence(name):
    a, b = wide(embeddings(rows=8))
    kept = np.array([True, True, False, True, True, False, True, True])
    spoiled = [a.copy(), np.where(kept[:, None], b, np.nan)]
    loss = make(name)
    value, found = value_and_gradients(lambda a, b: loss(None, (a, b), present={1: kept}), *spoiled)
    rest = expected(name, (a[kept], b[kept]))
    # The loss of a row without a positive is 0. That of a batch is the loss of each row.
    rest *= 1.0 if name in STATISTICS else kept.mean()
    assert value == pytest.approx(rest, rel=1e-4)
    for gradient in found:
        assert np.all(np.isfinite(gradient))
        assert np.all(gradient[~kept] == 0)


@pytest.mark.parametrize("rows", ["one row", "equal", "zero", "tiny", "one column"])
@each_loss
def test_degenerate_rows_have_finite_values_and_gradients(name, rows):
    z = {
        "one row": np.ones((1, 3)),
        "equal": np.ones((4, 3)),
        "zero": np.zeros((4, 3)),
        "tiny": 1e-20 * np.arange(12.0).reshape(4, 3),
        "one column": np.arange(4.0)[:, None] - 1.5,
    }[rows].astype("float32")
    loss = make(name)
    value, found = value_and_gradients(lambda a, b: loss(None, (a, b)), z, z)
    assert np.isfinite(value)
    assert np.all(np.isfinite(found))
    if name in STATISTICS and rows == "one row":
        assert value == 0
        assert np.all(np.array(found) == 0)


@each_loss
def test_computes_in_float32_at_least(name):
    z = [view.astype("float16") for view in wide(embeddings())]
    value = float(make(name)(None, [view.astype("float32") for view in z]))
    keras.config.set_dtype_policy("mixed_float16")
    assert float(make(name)(None, z)) == value
    assert float(make(name, dtype="float16")(None, z)) == value
    assert make(name, dtype="float64").get_config()["dtype"] == "float64"


@pytest.mark.parametrize(
    "loss",
    [
        losses.BarlowTwins(0.1, reduction="sum", name="mine"),
        losses.VICReg(1.0, 2.0, 3.0, reduction="sum", name="mine"),
        losses.NegativeCosine(symmetric=False, reduction="sum", name="mine"),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_configuration_survives_a_round_trip(loss):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    z = wide(embeddings())
    assert float(again(None, z)) == float(loss(None, z))


def test_weights_of_the_terms_multiply_them():
    z = wide(embeddings(rows=9))
    found = losses.VICReg(3.0, 5.0, 7.0)(None, z)
    assert float(found) == pytest.approx(reference.vicreg(z, None, 3.0, 5.0, 7.0), rel=1e-5)
    found = losses.BarlowTwins(0.3)(None, z)
    assert float(found) == pytest.approx(reference.barlow_twins(z, None, 0.3), rel=1e-5)


@pytest.mark.slow_to_compile
@each_loss
def test_trains_a_plain_model(name):
    generator = np.random.default_rng(0)
    x, targets = generator.normal(size=(2, 20, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, kernel_initializer="ones")])
    model.compile(keras.optimizers.Adam(0.05), make(name))
    history = model.fit(x, targets, batch_size=8, epochs=8, verbose=0, shuffle=False).history
    assert history["loss"][-1] < history["loss"][0] - 0.1


def test_equal_views_without_correlations_are_the_optimum():
    z = np.array([[1, 1], [-1, 1], [1, -1], [-1, -1]], "float32")
    (found,) = gradients(lambda z: losses.BarlowTwins()(None, (z, z)), z)
    np.testing.assert_allclose(found, 0, atol=1e-4)


@each_statistic
def test_one_view_and_hard_negatives_raise(name):
    z = wide(embeddings())
    with pytest.raises(ValueError, match=r"at least two views.*SupCon"):
        make(name)(np.arange(5), z[0])
    with pytest.raises(ValueError, match=r"at least two views"):
        make(name).build({}, 1)
    with pytest.raises(ValueError, match=r"`hard_negatives` must be `None`"):
        make(name)(None, z, hard_negatives={0: z[0]})


def test_hard_negatives_of_the_cosine_raise_and_labels_are_positives():
    z = wide(embeddings())
    with pytest.raises(ValueError, match=r"`hard_negatives` must be `None`"):
        losses.NegativeCosine()(None, z, hard_negatives={0: z[0]})
    found = losses.NegativeCosine(reduction=None)(np.array([0, 1, 0, 1, 2]), z[0])
    swapped = z[0][[2, 3, 0, 1, 4]]
    expected = reference.negative_cosine((z[0], swapped)) * [1, 1, 1, 1, 0]
    np.testing.assert_allclose(to_numpy(found), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: losses.BarlowTwins(-0.1), ValueError),
        (lambda: losses.BarlowTwins("a"), TypeError),
        (lambda: losses.VICReg(covariance_weight=-1.0), ValueError),
    ],
)
def test_wrong_arguments_raise(call, error):
    with pytest.raises(error, match=r"_weight` must be.*Received"):
        call()


@pytest.mark.every_case
@each_loss
def test_step_is_lowered_for_accelerators(name):
    loss = make(name)
    program = lower_for_accelerators(lambda a, b: loss(None, (a, b)), (40, 8), (40, 8))
    assert "tensor<40x40x" not in program
