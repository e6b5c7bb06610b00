import numpy as np
import pytest

from keras_contrastive.metrics import Alignment
from tests.helpers.views import WEIGHTS, measure, noisy_views
from tests.reference.spread import alignment_of_labels

LABELS = np.array([0, 1, 0, 2, 1, 1, 0])


@pytest.mark.parametrize("alpha", [0.5, 2, 3])
def test_limits(alpha):
    rows = np.eye(3, dtype="float32")
    for other, value in (
        (rows, 0.0),
        (np.roll(rows, 1, axis=0), 2 ** (alpha / 2)),
        (-rows, 2**alpha),
    ):
        assert measure(Alignment(alpha), (None, [rows, other])) == pytest.approx(value, rel=1e-6)


def test_nearly_equal_pairs_keep_their_digits():
    a, b = np.array([[1, 0]], "float32"), np.array([[1, 1e-5]], "float32")
    assert measure(Alignment(), (None, [a, b])) == pytest.approx(1e-10, rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "shape"), [(None, (-1,)), (None, (-1, 1)), (WEIGHTS, (-1,)), (WEIGHTS, (-1, 1))]
)
def test_other_rows_with_the_same_label_are_positives(rng, weights, shape):
    (rows,) = noisy_views(rng, 1)
    sample_weight = None if weights is None else weights.reshape(shape)
    value = measure(Alignment(), (LABELS.reshape(shape), rows, sample_weight))
    assert value == pytest.approx(alignment_of_labels(rows, LABELS, weights), rel=1e-5)


def test_equal_rows_of_a_label_have_alignment_0():
    rows = np.eye(2, dtype="float32")[[0, 0, 1, 1]]
    assert measure(Alignment(), (np.array([1, 1, 2, 2]), rows)) == 0.0


def test_labels_above_2_to_the_24_differ(rng):
    labels = np.array([2**24, 2**24 + 1])
    assert measure(Alignment(), (labels, noisy_views(rng, 1, rows=2)[0])) == 0.0


def test_rows_without_a_positive_have_no_weight():
    rows = np.array([[1, 0], [0, 1], [-1, 0]], "float32")
    assert measure(Alignment(), (np.array([4, 4, 5]), rows)) == pytest.approx(2.0)


def test_alpha_must_be_2_for_one_view_with_labels(rng):
    with pytest.raises(ValueError, match=r"`alpha` must be 2 for one view.* Received: alpha=1\."):
        Alignment(alpha=1).update_state(LABELS, noisy_views(rng, 1)[0])


@pytest.mark.parametrize(
    ("alpha", "error"),
    [
        *((alpha, ValueError) for alpha in (0, -1, float("inf"), float("nan"))),
        *((alpha, TypeError) for alpha in ("2", None, True)),
    ],
)
def test_alpha_must_be_positive(alpha, error):
    with pytest.raises(error, match=r"`alpha` must be a positive, finite number\. Received: alpha"):
        Alignment(alpha)
