"""Contract of every loss: values, gradients, numerics, weights, configuration, training."""

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
from keras import ops

from tests.contracts.loss_cases import EVERY, LOSSES
from tests.helpers import embeddings
from tests.helpers.backend import (
    COMPILE_LEAST,
    compiled,
    gradients,
    to_numpy,
    traced,
    value_and_gradients,
)
from tests.reference.differences import numeric_gradient

each_loss = pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES.keys())
every_variant = pytest.mark.parametrize("case", EVERY.values(), ids=EVERY.keys())

ALL_DIFFER = [0, 1, 2, 3, 4]
SOME_EQUAL = [7, 3, 7, 0, 3]


# float32 logits err by a few units of 1e-7 / temperature.
def tolerance(temperature):
    return 2e-6 / temperature


@every_variant
@pytest.mark.parametrize(
    ("views", "symmetric", "ids", "temperature"),
    [  # all pairs of values of these four parameters
        (2, True, ALL_DIFFER, 0.05),
        (3, False, SOME_EQUAL, 0.05),
        (2, False, SOME_EQUAL, 0.5),
        (3, True, ALL_DIFFER, 0.5),
        (2, True, SOME_EQUAL, 5.0),
        (3, False, ALL_DIFFER, 5.0),
    ],
)
@pytest.mark.filterwarnings("ignore:`temperature` is 5:UserWarning")
def test_value_equals_the_reference(case, views, symmetric, ids, temperature):
    z = embeddings(views)
    loss = case.make(temperature=temperature, symmetric=symmetric, reduction=None)
    expected = case.value(z, ids, temperature, symmetric)
    np.testing.assert_allclose(
        to_numpy(loss(np.array(ids), z)), expected, rtol=1e-5, atol=tolerance(temperature)
    )


@every_variant
@pytest.mark.parametrize(
    "labels", [[0, 1, 0, 1, 0], [0, 1, 0, 1, 2]], ids=["all matched", "one alone"]
)
def test_one_view_with_labels_equals_the_reference(case, labels):
    z = embeddings(views=1)
    loss = case.make(temperature=0.3, reduction=None)
    expected = case.value(z, labels, 0.3)
    np.testing.assert_allclose(
        to_numpy(loss(np.array(labels), z[0])), expected, rtol=1e-5, atol=1e-5
    )


@each_loss
def test_all_forms_of_two_views_have_the_same_loss(case):
    a, b = embeddings()
    loss = case.make(temperature=0.2)
    expected = float(loss(None, (a, b)))
    others = [
        loss(b, a),
        loss(None, np.stack([a, b], axis=1)),
        loss(None, {"image": a, "text": b}),
        loss(None, [a, b]),
    ]
    np.testing.assert_allclose([float(x) for x in others], expected, rtol=1e-6)
    np.testing.assert_allclose(float(loss(np.arange(5)[:, None], (a, b))), expected, rtol=1e-6)


@each_loss
@pytest.mark.parametrize("offset", [0, 2**24, 2**31 - 6], ids=["small", "2**24", "2**31"])
def test_large_ids_stay_different(case, offset):
    z = embeddings()
    loss = case.make(temperature=0.2, reduction=None)
    ids = np.array(ALL_DIFFER) + offset  # float32 cannot tell 2**24 and 2**24 + 1 apart
    np.testing.assert_allclose(to_numpy(loss(ids, z)), to_numpy(loss(None, z)), rtol=1e-6)


@every_variant
@pytest.mark.parametrize("ids", [ALL_DIFFER, SOME_EQUAL], ids=["all differ", "some equal"])
def test_gradient_equals_differences_of_the_reference(case, ids):
    a, b = embeddings(rows=5)
    loss = case.make(temperature=0.5)
    found = gradients(lambda a, b: loss(np.array(ids), (a, b)), a, b)
    objective = case.objective_near((a, b))
    for z, gradient, at in ((a, found[0], lambda x: (x, b)), (b, found[1], lambda x: (a, x))):
        expected = numeric_gradient(lambda x, at=at: objective(at(x), ids, 0.5).mean(), z)
        np.testing.assert_allclose(gradient, expected, atol=2e-5)


@every_variant
@pytest.mark.parametrize(
    "labels", [[0, 1, 0, 1, 2], [0, 0, 0, 1, 1, 1, 0, 2]], ids=["one positive", "several"]
)
def test_gradient_with_labels_equals_differences_of_the_reference(case, labels):
    (z,) = embeddings(views=1, rows=len(labels))
    loss = case.make(temperature=0.5)
    (found,) = gradients(lambda z: loss(np.array(labels), z), z)
    objective = case.objective_near([z])
    expected = numeric_gradient(lambda x: objective([x], labels, 0.5).mean(), z)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@every_variant
def test_gradient_with_labels_is_finite_and_reaches_rows_with_a_positive(case):
    (z,) = embeddings(views=1)
    loss = case.make(temperature=0.5)
    (found,) = gradients(lambda z: loss(np.array([0, 1, 0, 1, 2]), z), z)
    assert np.all(np.isfinite(found))
    assert np.all(np.any(found[:4] != 0, axis=1))


@every_variant
def test_compiled_equals_eager(case):
    a, b = embeddings()
    loss = case.make(temperature=0.2)
    eager = value_and_gradients(lambda a, b: loss(None, (a, b)), a, b)
    fast = value_and_gradients(lambda a, b: loss(None, (a, b)), a, b, compiled=True)
    np.testing.assert_allclose(fast[0], eager[0], rtol=1e-5)
    np.testing.assert_allclose(fast[1], eager[1], atol=1e-5)


@every_variant
@pytest.mark.parametrize("tiles", [(4, 3)], indirect=True, ids=str)
def test_a_function_can_be_compiled_before_it_is_differentiated(case, tiles):
    # As in the body of a loop: its gradient is made from what the compiler has traced.
    z, ids = embeddings(rows=5), np.array(SOME_EQUAL)
    loss = case.make(temperature=0.5)
    expected = gradients(lambda a, b: loss(ids, (a, b)), *z)
    found = gradients(traced(lambda a, b: loss(ids, (a, b))), *z)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@each_loss
def test_one_compiled_function_accepts_batches_of_any_size(case):
    loss = case.make(temperature=0.2)
    evaluate = compiled(lambda a, b: loss(None, (a, b)))
    for rows in (1, 4, 7):
        z = embeddings(rows=rows)
        value = evaluate(*map(ops.convert_to_tensor, z))
        np.testing.assert_allclose(float(value), float(loss(None, z)), rtol=1e-5, atol=1e-6)


@every_variant
@pytest.mark.parametrize(
    ("temperature", "dtype"),
    [
        *[(1e-3, "float32"), (1e-3, "float16"), (1e-2, "bfloat16"), (0.1, "float16")],
        *[(1.0, "float32"), (10.0, "bfloat16"), (10.0, "float16")],
    ],
)
@pytest.mark.filterwarnings("ignore:`temperature` is 10:UserWarning")
def test_gradients_of_hard_pairs_are_finite_and_not_zero(case, temperature, dtype):
    # Positives point away, negatives equal their anchors. Naive formulas return NaN or 0.
    a = np.eye(4, 8, dtype="float32")
    b = np.roll(a, 1, axis=0) - 0.5 * a
    loss = case.make(temperature=temperature)
    evaluate = lambda a, b: loss(None, (ops.cast(a, dtype), ops.cast(b, dtype)))  # noqa: E731
    value, found = value_and_gradients(evaluate, a, b)
    assert np.isfinite(value)
    assert value > 0
    assert np.all(np.isfinite(found))
    # d(loss) / d(cosine) of a positive is 1 / temperature for each of 4 anchors, averaged.
    assert np.linalg.norm(found[0]) > 0.1 / (temperature if case.tempered else 1)


@every_variant
@pytest.mark.parametrize(
    "z",
    [
        np.zeros((4, 3)),
        np.ones((4, 3)),
        np.full((4, 3), 1e30),
        np.full((4, 3), 1e-30),
        np.eye(4) * 1e20,
        np.eye(1, 3),
    ],
    ids=["zero", "equal", "huge", "tiny", "huge and different", "one row"],
)
def test_value_and_gradient_are_finite_for_degenerate_rows(case, z):
    z = z.astype("float32")
    loss = case.make(temperature=0.01)
    value, found = value_and_gradients(lambda a, b: loss(None, (a, b)), z, z)
    assert np.isfinite(value)
    assert np.all(np.isfinite(found))


@every_variant
def test_loss_is_zero_without_negatives(case):
    z = embeddings()
    for ids, views in ((np.zeros(5, "int32"), z), (None, [view[:1] for view in z])):
        loss = case.make(temperature=0.1)
        value, found = value_and_gradients(
            lambda a, b, ids=ids, loss=loss: loss(ids, (a, b)), *views
        )
        assert value == 0
        np.testing.assert_array_equal(found, np.zeros_like(found))


@every_variant
def test_value_of_equal_embeddings_equals_the_reference(case):
    z = np.ones((6, 3), "float32")
    expected = case.value((z, z), range(6), 0.07).mean()
    np.testing.assert_allclose(
        float(case.make(temperature=0.07)(None, (z, z))), expected, rtol=1e-5
    )


@each_loss
def test_length_of_embeddings_matters_only_without_normalization(case):
    a, b = embeddings()
    lengths = np.array([[0.1], [1], [7], [100], [3]], "float32")
    loss = case.make(temperature=0.2)
    np.testing.assert_allclose(
        float(loss(None, (a * lengths, b))), float(loss(None, (a, b))), rtol=1e-5
    )
    plain = case.make(temperature=0.2, normalize=False)
    assert abs(float(plain(None, (a * lengths, b))) - float(plain(None, (a, b)))) > 1


@each_loss
@pytest.mark.parametrize(
    "reduction", ["sum", "mean", "sum_over_batch_size", "mean_with_sample_weight", None]
)
def test_weights_and_reductions_match_keras(case, reduction):
    z = embeddings()
    weights = np.array([0, 1, 2, 0.5, 1], "float32")
    values = to_numpy(case.make(temperature=0.2, reduction=None)(None, z)) * weights
    expected = {
        "sum": values.sum(),
        "mean": values.mean(),
        "sum_over_batch_size": values.mean(),
        "mean_with_sample_weight": values.sum() / weights.sum(),
        None: values,
    }[reduction]
    loss = case.make(temperature=0.2, reduction=reduction)
    np.testing.assert_allclose(
        to_numpy(loss(None, z, sample_weight=weights)), expected, rtol=1e-5, atol=1e-6
    )


@each_loss
def test_computes_in_float32_at_least(case):
    z = embeddings()
    exact = float(case.make(temperature=0.01)(None, z))
    half = case.make(temperature=0.01, dtype="float16")
    assert half.dtype == "float32"
    assert float(half(None, z)) == exact
    keras.config.set_dtype_policy("mixed_float16")
    assert float(case.make(temperature=0.01)(None, z)) == exact


@every_variant
def test_configuration_survives_a_round_trip(case):
    loss = case.make(
        temperature=0.3, symmetric=False, normalize=False, reduction="sum", name="mine"
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert (again.name, again.dtype) == ("mine", "float32")
    assert again.temperature == (0.3 if case.tempered else 1)
    assert again.symmetric is not case.directed


@each_loss
def test_dtype_is_part_of_the_configuration(case):
    loss = case.make(dtype="float64")
    assert loss.dtype == "float64"
    assert type(loss).from_config(loss.get_config()).dtype == "float64"


@each_loss
def test_trains_a_plain_model(case):
    generator = np.random.default_rng(0)
    x, targets = generator.normal(size=(2, 20, 4)).astype("float32")
    # The same weights and batches on all backends.
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.set_weights([generator.normal(size=(4, 4)), np.zeros(4)])
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=case.make(temperature=0.5))
    losses = model.fit(x, targets, 8, epochs=8, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < 0.95 * losses[0]


@each_loss
def test_trains_a_plain_model_on_stacked_views_without_ids(case):
    x = np.random.default_rng(0).normal(size=(12, 2, 4)).astype("float32")
    model = keras.Sequential([keras.Input((2, 4)), keras.layers.Dense(3)])
    model.compile(optimizer="sgd", loss=case.make(temperature=0.5), **COMPILE_LEAST)
    assert np.isfinite(model.fit(x, batch_size=5, epochs=1, verbose=0).history["loss"][0])


@each_loss
@hypothesis.given(
    order=st.permutations(range(5)), ids=st.lists(st.integers(0, 4), min_size=5, max_size=5)
)
def test_shuffled_rows_have_shuffled_losses(case, order, ids):
    order, ids = np.array(order), np.array(ids)
    z = embeddings()
    loss = case.make(temperature=0.3, reduction=None)
    values = to_numpy(loss(ids, z))
    shuffled = to_numpy(loss(ids[order], [view[order] for view in z]))
    np.testing.assert_allclose(shuffled, values[order], rtol=1e-4, atol=1e-5)


@each_loss
@hypothesis.given(seed=st.integers(0, 1000))
def test_loss_is_symmetric_in_the_views(case, seed):
    a, b = embeddings(seed=seed)
    loss = case.make(temperature=0.3)
    np.testing.assert_allclose(
        float(loss(None, (a, b))), float(loss(None, (b, a))), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", [name for name, case in LOSSES.items() if case.monotone])
@hypothesis.given(seed=st.integers(0, 1000))
def test_a_closer_positive_has_a_smaller_loss(name, seed):
    a, b = embeddings(seed=seed)
    a, b = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (a, b))
    closer = b.copy()
    closer[0] = 0.5 * b[0] + 0.5 * a[0]
    loss = LOSSES[name].make(temperature=0.3, symmetric=False, reduction=None)
    assert float(loss(None, (a, closer))[0]) <= float(loss(None, (a, b))[0]) + 1e-6
