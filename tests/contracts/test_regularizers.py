"""Promises of every regularizer."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import layers
from keras_contrastive._engine import Batch
from keras_contrastive._replicas import Replicas
from tests.contracts.regularizer_cases import NAMES, REGULARIZERS, Case, built, random_views
from tests.helpers.backend import FASTEST, compiled, gradients, to_numpy, value_and_gradients
from tests.helpers.towers import settle

each_regularizer = pytest.mark.parametrize("case", REGULARIZERS.values(), ids=REGULARIZERS.keys())


def penalty_of(layer, **arguments):
    """The penalty as a function of the views in the order of `NAMES`."""
    return lambda *views: layer.penalty(dict(zip(NAMES, views, strict=True)), **arguments)


def test_every_public_regularizer_has_a_case():
    public = {getattr(layers, name) for name in layers.__all__}
    regularizers = {
        value
        for value in public
        if issubclass(value, layers.ViewRegularizer) and value is not layers.ViewRegularizer
    }
    assert {case.make for case in REGULARIZERS.values()} == regularizers


@each_regularizer
@pytest.mark.parametrize(("rows", "dim"), [(7, 4), (3, 8)])
def test_value_equals_the_reference(case, rows, dim):
    views = random_views(rows, dim)
    layer = built(case.make(), views)
    assert float(layer.penalty(views)) == pytest.approx(
        case.penalty(layer, views), rel=2e-5, abs=1e-6
    )


@each_regularizer
def test_gradient_equals_differences_of_the_reference(case):
    views = random_views()
    layer = built(case.make(), views)
    found = gradients(penalty_of(layer), *views.values(), **FASTEST)
    for name, gradient in zip(NAMES, found, strict=True):
        for place in [(0, 0), (1, 2), (6, 3)]:
            values = []
            for step in (1e-6, -1e-6):
                moved = {key: np.asarray(view, "float64") for key, view in views.items()}
                moved[name] = moved[name].copy()
                moved[name][place] += step
                values.append(case.penalty(layer, moved))
            difference = (values[0] - values[1]) / 2e-6
            assert gradient[place] == pytest.approx(difference, rel=2e-3, abs=1e-5)


@each_regularizer
def test_value_is_the_same_compiled_for_an_unknown_batch_size(case):
    layer = built(case.make(), random_views())
    evaluate = compiled(penalty_of(layer))
    for rows in (1, 7):
        views = random_views(rows, seed=rows)
        value = float(evaluate(*map(ops.convert_to_tensor, views.values())))
        assert value == pytest.approx(case.penalty(layer, views), rel=2e-5, abs=1e-6)


@each_regularizer
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e15])
def test_value_and_gradient_are_finite_for_extreme_rows(case, scale):
    views = random_views(scale=scale)
    layer = built(case.make(), views)
    value, found = value_and_gradients(penalty_of(layer), *views.values())
    assert np.isfinite(value)
    assert np.all(np.isfinite(found))


@each_regularizer
def test_views_in_half_precision_are_compared_in_float32(case):
    views = {name: ops.cast(view, "bfloat16") for name, view in random_views(40).items()}
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = built(case.make(), views)
    value = layer.penalty(views)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    rounded = {name: to_numpy(ops.cast(view, "float32")) for name, view in views.items()}
    # The heads of `DeepFeatureSeparation` compute in bfloat16.
    tolerance = 3e-2 if layer.trainable_weights else 1e-5
    assert float(value) == pytest.approx(case.penalty(layer, rounded), rel=tolerance)


@each_regularizer
def test_rows_that_lack_a_modality_have_no_influence_even_if_they_are_nan(case):
    views = random_views()
    present = np.array([True, False, True, True, True, False, True])
    rows = {name: view[present] for name, view in views.items()}
    layer = built(case.make(), views)
    for view in views.values():
        view[~present] = np.nan
    masks = {name: ops.convert_to_tensor(present) for name in ("a", "b")}
    value, found = value_and_gradients(penalty_of(layer, present=masks), *views.values(), **FASTEST)
    expected, gradients_of_rows = value_and_gradients(penalty_of(layer), *rows.values(), **FASTEST)
    assert value == pytest.approx(case.penalty(layer, rows), rel=2e-5)
    assert value == pytest.approx(expected, rel=2e-5)
    for gradient, gradient_of_rows in zip(found, gradients_of_rows, strict=True):
        assert np.all(gradient[~present] == 0)
        np.testing.assert_allclose(gradient[present], gradient_of_rows, rtol=1e-3, atol=1e-5)


@each_regularizer
def test_modalities_that_all_rows_lack_cost_nothing(case):
    views = random_views()
    layer = built(case.make(), views)
    nothing = ops.zeros((7,), dtype="bool")
    assert float(layer.penalty(views, present={"a": nothing, "b": nothing})) == 0


@each_regularizer
def test_penalty_of_a_batch_is_that_of_the_rows_of_all_replicas(case):
    views = {name: ops.convert_to_tensor(x) for name, x in random_views().items()}
    layer = built(case.make(), views)

    # The other replica has the same rows.
    def twice(x):
        return ops.concatenate([x, x])

    replicas = Replicas(num_rows=7, first=0, loss_scale=0.5, gather=twice, stack=None)
    ids = ops.arange(7, dtype="int32")
    value, terms = layer.of_batch(Batch(views, ids, replicas=replicas))
    everything = {name: twice(x) for name, x in views.items()}
    expected, expected_terms = layer.penalty_and_terms(everything, ids=twice(ids))
    assert float(value) == pytest.approx(float(expected), rel=1e-6)
    assert set(terms) == set(expected_terms)


@each_regularizer
def test_penalty_is_the_weighted_sum_of_the_terms(case):
    views = random_views()
    weights = {term: 0.5 + place for place, term in enumerate(case.terms)}
    layer = built(case.make(**weights, weight=3.0), views)
    value, terms = layer.penalty_and_terms(views)
    expected = sum((weights or {"bridge": 1.0})[term] * float(x) for term, x in terms.items())
    assert float(value) == pytest.approx(3 * expected, rel=1e-6)
    assert float(value) == pytest.approx(float(layer.penalty(views)), rel=1e-6)


@pytest.mark.parametrize(
    ("case", "term"),
    [pytest.param(case, term, id=term) for case in REGULARIZERS.values() for term in case.terms],
)
def test_term_of_weight_zero_is_neither_computed_nor_reported(case, term):
    views = random_views(3)
    layer = built(case.make(**{term: 0.0}), views)
    assert set(layer.penalty_and_terms(views)[1]) == set(case.terms) - {term}


@each_regularizer
def test_functional_model_adds_the_penalty_and_returns_the_views(case, tmp_path):
    views = random_views(8)
    inputs = {name: keras.Input((4,), name=name) for name in NAMES}
    layer = case.make(weight=0.5)
    model = keras.Model(inputs, layer(inputs))
    settle(layer)
    outputs = model(views)
    assert set(outputs) >= set(NAMES)
    np.testing.assert_array_equal(to_numpy(outputs["a"]), views["a"])
    value = float(sum(model.losses))
    assert value == pytest.approx(0.5 * case.penalty(layer, views), rel=2e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded(views)
    assert float(sum(loaded.losses)) == pytest.approx(value, rel=1e-6)


@each_regularizer
@pytest.mark.parametrize(
    ("views", "error", "message"),
    [
        (np.zeros((3, 2), "float32"), TypeError, "`views` must be a dict"),
        ({}, TypeError, "`views` must be a dict"),
        ({"image": np.zeros((3, 2), "int32")}, TypeError, "image with dtype int32"),
        ({"image": np.zeros((3,), "float32")}, ValueError, r"`\(batch, dim\)`.*image \(3,\)"),
        (
            {"image": np.zeros((8, 4), "float32"), "text": np.zeros((8, 3), "float32")},
            ValueError,
            r"same shape. Received: image \(8, 4\), text \(8, 3\). Add a projector",
        ),
        (
            {"b": np.zeros((3, 2), "float32"), "a_augmented": np.zeros((3, 2), "float32")},
            ValueError,
            "must contain 'a', since it contains 'a_augmented'",
        ),
    ],
)
def test_views_of_a_wrong_structure_raise(case: Case, views, error, message):
    with pytest.raises(error, match=message):
        case.make().penalty(views)


@each_regularizer
def test_wrong_arguments_raise(case):
    views = random_views()
    with pytest.raises(ValueError, match="`present` must contain names of modalities: a, b"):
        case.make().penalty(views, present={"c": ops.ones((7,), dtype="bool")})
    with pytest.raises(TypeError, match="`present` must be `None` or a dict"):
        case.make().penalty(views, present=ops.ones((7,), dtype="bool"))
    for weight in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`weight` must be a non-negative, finite number"):
            case.make(weight=weight)
    with pytest.raises(TypeError, match="`weight` must be a non-negative, finite number"):
        case.make(weight="1")
    for term in case.terms:
        with pytest.raises(ValueError, match=f"`{term}` must be a non-negative, finite number"):
            case.make(**{term: -1.0})
