"""Rows of zeros and of NaN: monitors tell a collapse, and have no value without embeddings."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import log_gaussian_potential
from keras_contrastive.layers import DeepFeatureSeparation
from keras_contrastive.metrics import AnswerAccuracy, Uniformity
from tests.contracts.test_metrics import every_metric, near
from tests.helpers.backend import FASTEST, gradients, to_numpy
from tests.helpers.views import measure, noisy_views
from tests.reference import structures
from tests.reference.differences import numeric_gradient

DEAD = np.zeros((5, 3), "float32")
SOME_DEAD = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0.6, 0.8], [-1, 0, 0]], "float32")


@pytest.mark.parametrize("tiled", [False, True], ids=["one tile", "tiles"])
@pytest.mark.parametrize("ids", [None, [0, 0, 1, 2, 3]], ids=["all pairs", "other ids"])
@pytest.mark.parametrize("rows", [DEAD, SOME_DEAD], ids=["all zero", "some zero"])
def test_zero_row_is_the_zero_vector_in_values_and_gradients(rows, ids, tiled, tile_shape):
    def potential(x):
        squares = np.square(x[:, None] - x[None]).sum(axis=-1)
        counts = np.ones((5, 5)) if ids is None else np.not_equal.outer(ids, ids)
        return np.log((np.exp(-1.5 * squares) * counts).sum(axis=1))

    if tiled:
        tile_shape((2, 3))
    weights = np.arange(1.0, 6.0)
    tensor_weights = ops.convert_to_tensor(weights.astype("float32"))
    tensor_ids = None if ids is None else ops.convert_to_tensor(np.array(ids, "int32"))
    found = log_gaussian_potential(ops.convert_to_tensor(rows), 1.5, tensor_ids)
    np.testing.assert_allclose(to_numpy(found), potential(rows), atol=1e-6)
    (gradient,) = gradients(
        lambda x: ops.sum(log_gaussian_potential(x, 1.5, tensor_ids) * tensor_weights),
        rows,
        **FASTEST,
    )
    expected = numeric_gradient(lambda x: (potential(x) * weights).sum(), rows)
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


@every_metric
@pytest.mark.parametrize("rows", [DEAD, SOME_DEAD], ids=["all zero", "some zero"])
def test_metric_of_zero_rows_equals_the_reference(case, rows):
    views = [rows, rows[::-1].copy()]
    expected = 0.0 if "rank" in case.metric.__name__.lower() and not rows.any() else None
    expected = case.reference([(views, None, None)]) if expected is None else expected
    assert measure(case.make(), (None, views)) == near(expected)


def test_uniformity_of_a_dead_model_is_that_of_a_collapsed_one():
    assert measure(Uniformity(), (None, [DEAD, DEAD])) == 0.0


@pytest.mark.parametrize("form", ["joint", "separate", "distinct"])
@pytest.mark.parametrize("rows", [DEAD, SOME_DEAD], ids=["all zero", "some zero"])
def test_separation_of_zero_rows_equals_the_reference(form, rows):
    layer = DeepFeatureSeparation(0.0, 0.0, uniformity_form=form)
    views = {"a": np.ones((5, 3), "float32"), "a_independent": rows}
    assert float(layer.penalty(views)) == near(structures.uniformity([rows], form=form))


@every_metric
@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
@pytest.mark.parametrize("entries", ["one", "all"])
def test_nan_embeddings_have_no_value(case, value, entries):
    views = noisy_views(np.random.default_rng(0))
    metric = case.make()
    metric.update_state(None, views)
    views[0][(2, 1) if entries == "one" else ...] = value
    assert np.isnan(measure(metric, (None, views)))


@every_metric
def test_nan_in_a_row_without_weight_has_no_effect(rng, case):
    views, weights = noisy_views(rng), np.ones(7, "float32")
    weights[2] = 0
    expected = measure(case.make(), (None, views, weights))
    views[0][2] = np.nan
    assert measure(case.make(), (None, views, weights)) == near(expected)


def test_answers_of_nan_logits_have_no_value():
    ids, logits = np.array([[1, 2, 0]]), np.zeros((1, 3, 4), "float32")
    logits[0, 2] = np.nan  # after the answer
    assert np.isfinite(measure(AnswerAccuracy(), (ids, logits)))
    logits[0, 1, 3] = np.nan
    assert np.isnan(measure(AnswerAccuracy(), (ids, logits)))
    assert measure(AnswerAccuracy(), (ids, logits, np.zeros(1, "float32"))) == 0.0
