"""The Brownian bridge: the numbers of the specification, opposite end points, and drawn times."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import Batch
from keras_contrastive.layers import BrownianBridge
from keras_contrastive.layers._modality import modalities_of
from tests.contracts.regularizer_cases import NAMES, random_views
from tests.helpers.backend import to_numpy, value_and_gradients
from tests.reference import structures as reference

PAPER = {name: np.array(rows, "float32") for name, rows in reference.PAPER.items()}


def test_value_equals_the_number_of_the_specification():
    value = float(BrownianBridge(modalities="image").penalty(PAPER))
    assert value == pytest.approx(0.22454113470710912, rel=1e-5)
    # The paper's second line, a misprint.
    assert value != pytest.approx(0.9019189237602275, rel=1e-2)


def test_time_is_one_minus_share():
    share = BrownianBridge(t=0.25, modalities="image")
    time = BrownianBridge(t=0.75, t_means="time", modalities="image")
    assert float(time.penalty(PAPER)) == pytest.approx(float(share.penalty(PAPER)), rel=1e-6)


@pytest.mark.parametrize("distance", [0.0, 1e-7, 1e-4])
def test_gradient_is_finite_for_opposite_end_points(distance):
    image = np.array([[1, 0, 0]], "float32")
    text = np.array([[-1, distance, 0]], "float32")
    augmented = np.array([[0, 0, 1]], "float32")
    layer = BrownianBridge(t=0.5)
    names = ["a", "b", "a_augmented"]
    value, found = value_and_gradients(
        lambda *views: layer.penalty(dict(zip(names, views, strict=True))), image, text, augmented
    )
    assert 0 <= value <= 4
    assert max(np.abs(gradient).max() for gradient in found) < 1e4


def test_penalty_is_zero_on_the_bridge_and_four_on_the_opposite_side():
    a, b = (reference.units(random_views()[name]).astype("float32") for name in "ab")
    middle = 0.25 * a + 0.75 * b
    layer = BrownianBridge()
    on_bridge = float(layer.penalty({"a": a, "b": b, "a_augmented": middle}))
    opposite = float(layer.penalty({"a": a, "b": b, "a_augmented": -middle}))
    assert on_bridge == pytest.approx(0, abs=1e-12)
    assert opposite == pytest.approx(4, rel=1e-6)


def test_penalty_of_three_modalities_is_the_mean_over_bridges():
    views = random_views(names=["a", "b", "c", "a_augmented"])
    a, b, c, augmented = views.values()
    expected = np.mean([reference.brownian_bridge(a, end, augmented, 0.25) for end in (b, c)])
    assert float(BrownianBridge().penalty(views)) == pytest.approx(expected, rel=1e-5)


def built(views, **arguments):
    layer = BrownianBridge(t=(0.2, 0.8), seed=3, **arguments)
    layer.build({name: view.shape for name, view in views.items()})
    return layer


def drawn_shares(views):
    """The shares that the layers of `built` draw in their first step."""
    layer = built(views)
    modalities = modalities_of(Batch({name: ops.convert_to_tensor(x) for name, x in views.items()}))
    return to_numpy(layer._times(*modalities, training=True))[:, 0]


def test_drawn_shares_differ_between_rows_and_are_in_range():
    shares = drawn_shares(random_views(names=NAMES[:3]))
    assert np.all((shares > 0.2) & (shares < 0.8))
    assert len(np.unique(shares)) == 7


def test_penalty_with_drawn_shares_equals_the_reference():
    views = random_views(names=NAMES[:3])
    shares = drawn_shares(views)
    plain = reference.brownian_bridge(*views.values(), shares)
    weighted = reference.brownian_bridge(*views.values(), shares, lambda t: 1 / (2 * t * (1 - t)))
    value = float(built(views, likelihood_weight=False).penalty(views))
    assert value == pytest.approx(plain, rel=1e-5)
    assert float(built(views).penalty(views)) == pytest.approx(weighted, rel=1e-5)


def test_shares_are_drawn_anew_after_each_training_step_only():
    views = random_views(names=NAMES[:3])
    layer = built(views)
    first = float(layer.penalty(views))
    evaluated = float(layer.penalty(views, training=False))
    assert float(layer.penalty(views, training=True)) == first
    later = float(layer.penalty(views))
    # An evaluation has its own draws, which training does not change.
    assert float(layer.penalty(views, training=False)) == evaluated
    for one, other in ((first, later), (first, evaluated), (later, evaluated)):
        assert one != pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize(
    ("modalities", "names", "message"),
    [
        (None, ["a", "b"], "two modalities and an augmented view .* Received: a, b"),
        (None, ["a", "a_augmented"], r"Received: a \(augmented\)"),
        ("b", ["a", "b", "a_augmented"], r"augmented views of b .* Received: a \(augmented\), b"),
    ],
)
def test_missing_views_raise(modalities, names, message):
    with pytest.raises(ValueError, match=message):
        BrownianBridge(modalities=modalities).penalty(random_views(names=names))
