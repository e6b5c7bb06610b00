import math

import numpy as np
import pytest
from keras import ops

from keras_contrastive.metrics import Uniformity
from tests.helpers.backend import compiled, largest_tensor
from tests.helpers.views import measure, noisy_views
from tests.reference.spread import uniformity


@pytest.mark.parametrize("t", [0.1, 20])
def test_limits(t):
    one, equal, orthogonal = (
        np.ones((1, 4), "float32"),
        np.ones((4, 4), "float32"),
        np.eye(4, dtype="float32"),
    )
    for rows, value in (
        (equal, 0),
        (orthogonal, -2 * t),
        (np.concatenate([one, -one]), -4 * t),
        (one, 0),
    ):
        assert measure(Uniformity(t), (None, [rows, rows])) == pytest.approx(
            value, rel=1e-5, abs=1e-5
        )


def test_value_is_never_above_zero(rng):
    rows = np.repeat(rng.normal(size=(1, 33)), 50, axis=0).astype("float32")
    assert -1e-5 < measure(Uniformity(), (None, [rows, rows])) <= 0.0


def test_rows_with_the_same_id_are_not_a_pair():
    rows = np.eye(4, dtype="float32")[[0, 0, 1, 1]]
    assert measure(Uniformity(), (np.array([7, 7, 8, 8]), [rows, rows])) == pytest.approx(-4.0)
    assert measure(Uniformity(), (np.array([7, 7, 7, 7]), [rows, rows])) == 0.0


def test_ids_above_2_to_the_24_differ():
    rows = np.eye(4, dtype="float32")
    assert measure(Uniformity(), (2**24 + np.arange(4), [rows, rows])) == pytest.approx(-4.0)


def test_logs_are_averaged_over_views():
    views = [np.eye(4, dtype="float32"), np.ones((4, 4), "float32")]
    assert measure(Uniformity(), (None, views), (None, views)) == pytest.approx(-2.0)


def test_batch_of_one_row_changes_nothing(rng):
    views = noisy_views(rng, rows=4)
    with_one = measure(Uniformity(), (None, views), (None, noisy_views(rng, rows=1)))
    assert with_one == pytest.approx(measure(Uniformity(), (None, views)))


def test_mean_is_over_pairs_not_over_batches():
    near, far = np.ones((2, 4), "float32"), np.eye(4, dtype="float32")
    value = measure(Uniformity(), (None, [near, near]), (None, [far, far]))
    assert value == pytest.approx(math.log((1 * 1 + 6 * math.exp(-4)) / 7), rel=1e-5)


def value_of_one_batch(ids):
    """Returns a function of two views that is differentiable, as `largest_tensor` requires."""
    metric = Uniformity()
    metric.build((None, 2, 4))
    state = [np.zeros(variable.shape, "float32") for variable in metric.variables]

    def value(a, b):
        measured = metric.stateless_result(metric.stateless_update_state(state, ids, [a, b]))
        return measured + ops.sum(a) + ops.sum(b)  # The metric itself has no gradient.

    return value


@pytest.mark.parametrize("ids", [None, np.arange(300) // 3], ids=["all_differ", "duplicates"])
def test_no_matrix_of_all_pairs_is_stored(rng, tile_shape, ids):
    views = noisy_views(rng, rows=300)
    value = value_of_one_batch(ids)
    tile_shape((32, 64))
    assert largest_tensor(value, *views) <= 2 * 300 * (4 + 2)
    total = float(compiled(value)(*map(ops.convert_to_tensor, views)))
    expected = uniformity([(views, ids, None)])
    assert total - sum(view.sum(dtype="float64") for view in views) == pytest.approx(
        expected, abs=1e-3
    )


def test_largest_tensor_detects_a_matrix(rng, tile_shape):
    tile_shape((300, 300))
    assert largest_tensor(value_of_one_batch(None), *noisy_views(rng, rows=300)) >= 300**2


@pytest.mark.parametrize(
    ("t", "error"),
    [
        *((t, ValueError) for t in (0, -1, 20.1, float("nan"))),
        *((t, TypeError) for t in ("2", None, True)),
    ],
)
def test_t_must_be_in_range(t, error):
    with pytest.raises(error, match=r"`t` must be a number in \(0, 20\]. Received: t="):
        Uniformity(t)
