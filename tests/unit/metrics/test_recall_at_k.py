import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.losses import InfoNCE
from keras_contrastive.metrics import RecallAtK
from tests.helpers.backend import compiled
from tests.helpers.views import IDS, WEIGHTS, noisy_views
from tests.helpers.views import measure as measure_batches
from tests.reference.recall import recall_of_labels, recall_of_views

LABELS = np.array([0, 1, 0, 2, 1, 1, 0])


def measure(y_true, y_pred, k=1, sample_weight=None):
    return measure_batches(RecallAtK(k), (y_true, y_pred, sample_weight))


@pytest.mark.parametrize(("k", "ids"), [(1, None), (2, IDS), (5, None)])
def test_recall_averages_over_ordered_pairs_of_views(rng, k, ids):
    views = noisy_views(rng, 3, noise=1.5)
    assert measure(ids, views, k) == pytest.approx(recall_of_views(views, k, ids), abs=1e-6)


def test_rows_with_the_same_id_are_not_negatives():
    views = [np.eye(4, dtype="float32")[[0, 0, 1, 2]]] * 2
    assert measure(None, views) == pytest.approx(1 / 2)
    assert measure(np.array([7, 7, 8, 9]), views) == 1.0


def test_ids_above_2_to_the_24_differ():
    views = [np.ones((4, 4), "float32")] * 2
    assert measure(2**24 + np.arange(4), views) == 0.0


@pytest.mark.parametrize(
    ("k", "weights", "shape"), [(1, None, (-1,)), (3, None, (-1, 1)), (1, WEIGHTS, (-1, 1))]
)
def test_nearest_row_with_the_same_label_is_the_positive(rng, k, weights, shape):
    (rows,) = noisy_views(rng, 1)
    expected = recall_of_labels(rows, LABELS, k, weights)
    value = measure(LABELS.reshape(shape), rows, k, weights)
    assert value == pytest.approx(expected, abs=1e-6)


def test_rows_without_a_positive_have_no_weight():
    rows = np.eye(4, dtype="float32")
    rows[1] = [1, 0.1, 0, 0]
    assert measure(np.array([4, 4, 5, 6]), rows) == 1.0
    assert measure(np.array([4, 7, 5, 6]), rows) == 0.0


@pytest.mark.parametrize("value", [0.0, 1.0], ids=str)
def test_equal_and_zero_embeddings_have_recall_0(value):
    rows = np.full((4, 4), value, "float32")
    assert measure(None, [rows, rows], k=3) == 0.0
    assert measure(np.array([0, 0, 1, 1]), rows, k=2) == 0.0


def test_recall_is_1_if_k_is_at_least_the_batch_size():
    rows = np.ones((4, 4), "float32")
    for k in (4, 1000):
        assert measure(None, [rows, rows], k=k) == 1.0


def test_cosines_are_compared_in_float32():
    # In bfloat16 the cosines 1 and 0.9999 are equal, which is a tie.
    rows = np.eye(4, dtype="float32")
    rows[1] = [1, 0.015625, 0, 0]
    assert measure(None, [ops.cast(rows, "bfloat16")] * 2) == 1.0


@pytest.mark.parametrize("tiles", [(3, 2)], indirect=True)
def test_compiled_recall_over_tiles_equals_the_reference(rng, tiles):
    views, (rows,) = noisy_views(rng, noise=1.5), noisy_views(rng, 1)
    metric = RecallAtK(1)
    state = [ops.convert_to_tensor(variable) for variable in metric.variables]

    def update(ids, labels, first, second, rows):
        of_views = metric.stateless_update_state(state, ids, [first, second])
        return of_views, metric.stateless_update_state(state, labels, rows)

    ids, labels = (ops.convert_to_tensor(x.astype("int32")) for x in (IDS, LABELS))
    of_views, of_labels = compiled(update)(ids, labels, *map(ops.convert_to_tensor, (*views, rows)))
    assert float(metric.stateless_result(of_views)) == pytest.approx(
        recall_of_views(views, 1, IDS), abs=1e-6
    )
    assert float(metric.stateless_result(of_labels)) == pytest.approx(
        recall_of_labels(rows, LABELS, 1), abs=1e-6
    )


def test_plain_model_with_labels_reports_recall(rng):
    (x,) = noisy_views(rng, 1)
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(4, use_bias=False, kernel_initializer="identity")(inputs)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", InfoNCE(), metrics=[RecallAtK(1)])
    results = model.evaluate(x, LABELS, batch_size=7, verbose=0, return_dict=True)
    assert results["recall_at_1"] == pytest.approx(recall_of_labels(x, LABELS, 1), abs=1e-6)


def test_default_name_contains_k():
    assert RecallAtK(10).name == "recall_at_10"
    assert RecallAtK(10, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("k", "error"),
    [(0, ValueError), (-1, ValueError), *((k, TypeError) for k in (1.0, "1", None, True))],
)
def test_k_must_be_a_positive_integer(k, error):
    with pytest.raises(error, match=r"`k` must be a positive integer\. Received: k="):
        RecallAtK(k)
