"""The metrics that detect collapse: `EmbeddingStd` and `EffectiveRank`."""

import numpy as np
import pytest

from keras_contrastive.metrics import EffectiveRank, EmbeddingStd
from tests.helpers.views import measure

ORDERS = pytest.mark.parametrize("order", [1, 2])


def rank(rows, order):
    rows = np.array(rows, "float32")
    return measure(EffectiveRank(order), (None, [rows, rows]))


def std(*batches):
    return measure(
        EmbeddingStd(), *((None, [batch, batch]) for batch in np.array(batches, "float32"))
    )


@pytest.mark.parametrize("dim", [64])
def test_collapse_to_a_point(rng, dim):
    rows = np.repeat(rng.normal(size=(1, dim)), 300, axis=0)
    assert std(*[rows] * 20) < 0.01
    for order in (1, 2):
        assert rank(rows, order) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("dim", [16])
def test_evenly_spread_rows(dim):
    rows = np.concatenate([np.eye(dim), -np.eye(dim)])
    assert std(rows) == pytest.approx(1.0)
    for order in (1, 2):
        assert rank(rows, order) == pytest.approx(dim, rel=1e-5)


def test_gaussian_rows_are_spread_nearly_evenly(rng):
    rows = rng.normal(size=(4000, 32))
    assert std(rows) == pytest.approx(1.0, abs=0.01)
    assert 31.5 < rank(rows, 2) <= rank(rows, 1) <= 32.0


def test_noise_around_a_point_changes_both_metrics_little(rng):
    point = np.zeros(16)
    point[3] = 1.0
    rows = point + 0.05 * rng.normal(size=(400, 16))
    assert 0.1 < std(rows) < 0.25
    assert 1.0 < rank(rows, 2) < 1.2


def test_opposite_points_use_one_direction_and_have_a_spread():
    rows = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert std(rows) == pytest.approx(np.sqrt(2) / 2)
    assert rank(rows, 2) == pytest.approx(1.0)


@ORDERS
def test_rank_is_at_most_the_number_of_rows(order):
    assert rank(np.eye(8)[:3], order) == pytest.approx(3.0, rel=1e-5)


@ORDERS
def test_directions_of_different_batches_add_up(order):
    rows = np.eye(4, dtype="float32")
    assert measure(
        EffectiveRank(order), *((None, [rows[i : i + 1]] * 2) for i in range(4))
    ) == pytest.approx(4.0)


@ORDERS
def test_zero_rows_use_no_direction(order):
    assert rank(np.zeros((3, 4)), order) == 0.0
    assert rank([[0, 0], [1, 0], [0, 1]], order) == pytest.approx(2.0)


@pytest.mark.parametrize("order", [0, 3, 1.5, "1", None, True])
def test_order_must_be_1_or_2(order):
    with pytest.raises(ValueError, match=r"`order` must be one of 1, 2\. Received: order="):
        EffectiveRank(order)
