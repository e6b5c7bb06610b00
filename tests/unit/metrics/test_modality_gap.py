import math

import numpy as np
import pytest

from keras_contrastive.metrics import ModalityGap
from tests.helpers.views import IDS, measure, noisy_views


def gap(*views):
    return measure(ModalityGap(), (None, [np.array(view, "float32") for view in views]))


def test_equal_views_have_no_gap(rng):
    (view,) = noisy_views(rng, 1)
    assert gap(view, view) == 0.0
    assert gap(view, view[::-1]) == pytest.approx(0.0, abs=1e-6)


def test_collapsed_views():
    north, south, east = [[0, 1]] * 3, [[0, -1]] * 3, [[1, 0]] * 3
    assert gap(north, south) == pytest.approx(2.0)
    assert gap(north, east) == pytest.approx(math.sqrt(2))
    assert gap(north, south, east) == pytest.approx((2 + 2 * math.sqrt(2)) / 3)


def test_evenly_spread_views_have_no_gap_although_pairs_are_opposite():
    view = np.concatenate([np.eye(3), -np.eye(3)])
    assert gap(view, -view) == 0.0


def test_one_view_raises(rng):
    with pytest.raises(ValueError, match=r"needs at least 2 views\. Received: 1\. Pass"):
        ModalityGap().update_state(IDS, noisy_views(rng, 1)[0])
