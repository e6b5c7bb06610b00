import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.losses import InfoNCE
from keras_contrastive.metrics import RecallAtK
from tests.helpers.backend import compiled
from tests.reference.recall import recall_of_labels, recall_of_views

WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0, 3.0, 0.1, 1.0], "float32")


def noisy_views(rng, num_views, rows=7, dim=4, noise=0.7):
    item = rng.normal(size=(rows, dim))
    return [
        (item + noise * rng.normal(size=(rows, dim))).astype("float32") for _ in range(num_views)
    ]


def measure(y_true, y_pred, k=1, sample_weight=None):
    metric = RecallAtK(k)
    metric.update_state(y_true, y_pred, sample_weight)
    return float(metric.result())


@pytest.mark.parametrize("k", [1, 2, 5])
def test_target_embeddings_are_the_second_view(rng, k):
    predicted, target = noisy_views(rng, 2)
    assert measure(target, predicted, k) == pytest.approx(
        recall_of_views([predicted, target], k), abs=1e-6
    )


@pytest.mark.parametrize("form", ["stack", "dict", "list", "tuple"])
@pytest.mark.parametrize("num_views", [2, 3])
@pytest.mark.parametrize(
    "ids", [None, [5, 1, 5, 2, 2**31 - 1, 2, 5]], ids=["all_differ", "duplicates"]
)
def test_every_form_of_views_averages_over_all_ordered_pairs(rng, form, num_views, ids):
    views = noisy_views(rng, num_views, noise=1.0)
    y_pred = {
        "stack": np.stack(views, axis=1),
        "dict": {f"view {i}": view for i, view in enumerate(views)},
        "list": views,
        "tuple": tuple(views),
    }[form]
    y_true = None if ids is None else np.array(ids)
    assert measure(y_true, y_pred) == pytest.approx(recall_of_views(views, 1, ids), abs=1e-6)


def test_rows_of_the_same_item_are_never_in_the_way():
    views = [np.eye(3, dtype="float32")[[0, 0, 1]]] * 2
    assert measure(None, views) == pytest.approx(1 / 3)
    assert measure(np.array([7, 7, 8]), views) == 1.0


def test_ids_above_2_to_the_24_stay_apart():
    views = [np.ones((2, 3), "float32")] * 2
    assert measure(np.array([2**24, 2**24 + 1]), views) == 0.0


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_with_labels_the_nearest_other_row_of_the_label_counts(rng, k, shape):
    (rows,) = noisy_views(rng, 1)
    labels = np.array([0, 1, 0, 2, 1, 1, 0])
    expected = recall_of_labels(rows, labels, k)
    assert measure(labels.reshape(shape), rows, k) == pytest.approx(expected, abs=1e-6)


def test_a_row_without_a_positive_has_no_weight(rng):
    rows = np.array([[1, 0], [1, 0.1], [0, 1]], "float32")
    assert measure(np.array([4, 4, 5]), rows) == 1.0


def test_without_any_positive_the_result_is_zero(rng):
    assert measure(np.arange(4), rng.normal(size=(4, 3)).astype("float32")) == 0.0


def test_where_all_embeddings_coincide_nothing_is_found():
    rows = np.ones((6, 4), "float32")
    assert measure(None, [rows, rows], k=5) == 0.0
    assert measure(np.array([0, 0, 0, 1, 1, 1]), rows, k=3) == 0.0


def test_dead_embeddings_find_nothing():
    assert measure(None, [np.zeros((4, 3), "float32")] * 2) == 0.0


def test_embeddings_that_are_not_numbers_find_nothing():
    rows = np.full((4, 3), np.nan, "float32")
    assert measure(None, [rows, rows]) == 0.0
    assert measure(np.array([0, 0, 1, 1]), rows) == 0.0


def test_k_as_large_as_the_batch_finds_everything():
    rows = np.ones((4, 3), "float32")
    assert measure(None, [rows, rows], k=4) == 1.0
    assert measure(None, [rows, rows], k=1000) == 1.0


def test_length_of_the_embeddings_does_not_matter(rng):
    a, b = noisy_views(rng, 2)
    lengths = np.array([1e-9, 1e9, 1, 10, 100, 1e-3, 1e20], "float32")[:, None]
    assert measure(None, [a * lengths, b]) == measure(None, [a, b])


@pytest.mark.parametrize("k", [1, 2])
def test_sample_weight_weighs_the_anchors(rng, k):
    views = noisy_views(rng, 2, noise=1.0)
    expected = recall_of_views(views, k, weights=WEIGHTS)
    assert expected != pytest.approx(recall_of_views(views, k))
    assert measure(None, views, k, WEIGHTS) == pytest.approx(expected, abs=1e-6)


def test_sample_weight_multiplies_that_of_rows_without_a_positive(rng):
    (rows,) = noisy_views(rng, 1)
    labels = np.array([0, 1, 0, 2, 1, 1, 0])
    expected = recall_of_labels(rows, labels, 1, WEIGHTS)
    assert measure(labels, rows, 1, WEIGHTS) == pytest.approx(expected, abs=1e-6)


def test_several_batches_count_by_their_rows(rng):
    first, second = noisy_views(rng, 2, rows=7), noisy_views(rng, 2, rows=3, noise=2.0)
    metric = RecallAtK(1)
    metric.update_state(None, first)
    metric.update_state(None, second)
    expected = (7 * recall_of_views(first, 1) + 3 * recall_of_views(second, 1)) / 10
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_half_precision_embeddings_are_compared_in_float32(rng):
    # In bfloat16 the cosines 1 and 0.9999 are the same number, a tie.
    near = np.array([[1, 0], [1, 0.015625]], "float32")
    views = [ops.cast(near, "bfloat16")] * 2
    assert measure(None, views) == 1.0


def test_a_compiled_step_measures_the_same(rng):
    views, ids = noisy_views(rng, 3, noise=1.0), np.array([0, 1, 2, 2, 3, 4, 0], "int32")
    metric = RecallAtK(1)
    state = [ops.convert_to_tensor(variable) for variable in metric.variables]
    step = compiled(lambda ids, views: metric.stateless_update_state(state, ids, views))
    state = step(ops.convert_to_tensor(ids), ops.convert_to_tensor(np.stack(views, axis=1)))
    assert float(metric.stateless_result(state)) == pytest.approx(
        recall_of_views(views, 1, ids), abs=1e-6
    )


def identity_model(dim):
    """A model whose output is its input, for as long as its learning rate is zero."""
    inputs = keras.Input((dim,))
    outputs = keras.layers.Dense(dim, use_bias=False, kernel_initializer="identity")(inputs)
    return keras.Model(inputs, outputs)


def test_a_plain_model_reports_it_over_ragged_batches(rng):
    x, y = noisy_views(rng, 2)
    model = identity_model(4)
    model.compile(
        "sgd",
        InfoNCE(),
        metrics=[RecallAtK(1), RecallAtK(2)],
        weighted_metrics=[RecallAtK(1, name="weighted")],
    )
    model.optimizer.learning_rate = 0.0
    batches = [slice(0, 4), slice(4, 7)]
    history = model.fit(x, y, sample_weight=WEIGHTS, batch_size=4, shuffle=False, verbose=0).history
    for k in (1, 2):
        expected = sum(3 * recall_of_views([x[b], y[b]], k) for b in batches) + recall_of_views(
            [x[:4], y[:4]], k
        )
        assert history[f"recall_at_{k}"] == [pytest.approx(expected / 7, abs=1e-6)]
    weights = [WEIGHTS[b].sum() for b in batches]
    weighted = [recall_of_views([x[b], y[b]], 1, weights=WEIGHTS[b]) for b in batches]
    assert history["weighted"] == [pytest.approx(np.average(weighted, weights=weights), abs=1e-6)]


def test_a_plain_model_takes_labels(rng):
    (x,) = noisy_views(rng, 1)
    labels = np.array([0, 1, 0, 2, 1, 1, 0])
    model = identity_model(4)
    model.compile("sgd", InfoNCE(), metrics=[RecallAtK(1)])
    results = model.evaluate(x, labels, batch_size=7, verbose=0, return_dict=True)
    assert results["recall_at_1"] == pytest.approx(recall_of_labels(x, labels, 1), abs=1e-6)


def test_config_round_trip():
    metric = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(RecallAtK(5, name="top", dtype="float16"))
    )
    assert (metric.k, metric.name, metric.dtype) == (5, "top", "float16")
    assert isinstance(metric, RecallAtK)
    assert (
        RecallAtK.from_config(RecallAtK(3).get_config()).get_config() == RecallAtK(3).get_config()
    )


def test_the_name_says_k():
    assert RecallAtK(10).name == "recall_at_10"
    assert RecallAtK(10, name="mine").name == "mine"


@pytest.mark.parametrize("k", [0, -1, 1.0, "1", None, True])
def test_k_must_be_a_positive_integer(k):
    with pytest.raises(ValueError, match=r"`k` must be a positive integer. Received: k="):
        RecallAtK(k)


def test_one_view_without_labels_is_refused():
    with pytest.raises(ValueError, match="nothing to compare"):
        RecallAtK().update_state(None, np.eye(3, dtype="float32"))
