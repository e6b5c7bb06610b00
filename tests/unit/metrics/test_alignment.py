import numpy as np
import pytest

from keras_contrastive.metrics import Alignment
from tests.helpers.views import WEIGHTS, measure, noisy_views
from tests.reference.spread import alignment_of_labels

LABELS = np.array([0, 1, 0, 2, 1, 1, 0])


@pytest.mark.parametrize("alpha", [0.5, 1, 2, 4])
def test_limits(alpha):
    rows = np.eye(3, dtype="float32")
    for other, value in (
        (rows, 0.0),
        (np.roll(rows, 1, axis=0), 2 ** (alpha / 2)),
        (-rows, 2**alpha),
    ):
        assert measure(Alignment(alpha), (None, [rows, other])) == pytest.approx(value, rel=1e-6)


def test_pairs_that_nearly_meet_keep_their_digits():
    a, b = np.array([[1, 0]], "float32"), np.array([[1, 1e-5]], "float32")
    assert measure(Alignment(), (None, [a, b])) == pytest.approx(1e-10, rel=1e-4)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_with_labels_the_other_rows_of_the_label_are_positives(rng, shape, weights):
    (rows,) = noisy_views(rng, 1)
    batch = (
        (LABELS.reshape(shape), rows)
        if weights is None
        else (LABELS.reshape(shape), rows, weights.reshape(shape))
    )
    assert measure(Alignment(), batch) == pytest.approx(
        alignment_of_labels(rows, LABELS, weights), rel=1e-5
    )


def test_rows_of_a_label_that_coincide():
    assert (
        measure(Alignment(), (np.array([1, 1, 2, 2]), np.eye(2, dtype="float32")[[0, 0, 1, 1]]))
        == 0.0
    )


def test_labels_above_2_to_the_24_stay_apart(rng):
    labels = np.array([2**24, 2**24 + 1])
    assert measure(Alignment(), (labels, noisy_views(rng, 1, rows=2)[0])) == 0.0


def test_a_row_without_a_positive_has_no_weight():
    rows = np.array([[1, 0], [0, 1], [-1, 0]], "float32")
    assert measure(Alignment(), (np.array([4, 4, 5]), rows)) == pytest.approx(2.0)


def test_with_labels_only_squares(rng):
    with pytest.raises(ValueError, match=r"`alpha=2` only, .* Received: alpha=1."):
        Alignment(alpha=1).update_state(LABELS, noisy_views(rng, 1)[0])


@pytest.mark.parametrize("alpha", [0, -1, "2", None, True, float("inf"), float("nan")])
def test_alpha_must_be_positive(alpha):
    with pytest.raises(ValueError, match=r"`alpha` must be a positive number. Received: alpha="):
        Alignment(alpha)
