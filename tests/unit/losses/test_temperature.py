"""Learned temperatures (one, per direction, per anchor) and biases."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive.layers import LearnableBias, LearnableTemperature
from keras_contrastive.losses import (
    DecoupledContrastive,
    GlobalContrastive,
    InfoNCE,
    SigmoidContrastive,
)
from tests.contracts.loss_cases import EVERY
from tests.helpers import normal
from tests.helpers.backend import gradients, to_numpy
from tests.helpers.engine import contrast_of
from tests.reference import contrast as reference_contrast
from tests.reference import losses as reference_losses
from tests.reference.losses import normalized

both_tilings = pytest.mark.parametrize(
    "tiles", [None, (3, 2)], ids=["one tile", "tiles"], indirect=True
)


@both_tilings
@pytest.mark.parametrize(
    "name", ["InfoNCE", "NTXent", "SupCon", "SigmoidContrastive", "DecoupledContrastive, weighted"]
)
def test_gradient_of_a_temperature_equals_differences(name, tiles):
    case = EVERY[name]
    z, ids = normal(2, 5, 3), np.array([7, 3, 7, 0, 3])

    class Fixed(LearnableTemperature):
        scale = None

    temperature = Fixed(0.5)
    temperature.built = True
    loss = case.make(temperature=temperature)

    def at(scale):
        temperature.__class__.scale = scale
        return loss(ids, list(z), training=True)

    (found,) = gradients(at, np.float32(2.0))
    up, down = (case.value(z, ids, 1 / scale).mean() for scale in (2.001, 1.999))
    assert found == pytest.approx((up - down) / 0.002, rel=1e-3, abs=1e-5)


@both_tilings
def test_each_direction_may_have_a_temperature(tiles):
    a, b = normal(2, 5, 3)
    loss = InfoNCE(temperature=LearnableTemperature(0.5, per_direction=True))
    loss.build()
    loss.temperature.log_scale.assign(np.log([2.0, 5.0]).astype("float32"))
    expected = [InfoNCE(temperature=1 / scale, symmetric=False) for scale in (2.0, 5.0)]
    found = float(loss(None, (a, b), training=True))
    assert found == pytest.approx(
        (float(expected[0](None, (a, b))) + float(expected[1](None, (b, a)))) / 2, rel=1e-5
    )


def test_another_number_of_directions_raises():
    loss = InfoNCE(temperature=LearnableTemperature(0.5, per_direction=True))
    loss.build()
    with pytest.raises(ValueError, match=r"temperatures for 2 directions. Received: 6 directions"):
        loss(None, list(normal(3, 5, 3)), training=True)


@both_tilings
@pytest.mark.parametrize("directions", [[(0, 1), (1, 0)], []], ids=["pair", "one view"])
def test_each_anchor_may_have_a_scale(directions, tiles):
    views = [normalized(view).astype("float32") for view in normal(2 if directions else 1, 5, 3)]
    ids = np.array([0, 1, 0, 2, 1], "int32")
    scales = np.linspace(1, 9, 5 * (2 if directions else 1)).reshape(5, -1).astype("float32")
    sums = contrast_of(views, directions, ids, ops.convert_to_tensor(scales))
    for anchor, direction in np.ndindex(scales.shape):
        loops = reference_contrast.Contrast(
            views, directions, ids, float(scales[anchor, direction])
        )
        place = anchor, direction
        assert to_numpy(sums.log_sum_negatives)[place] == pytest.approx(
            loops.log_sum_negatives[place], rel=1e-5
        )
        assert to_numpy(sums.positive_logit)[place] == pytest.approx(
            loops.positive_logit[place], rel=1e-5, abs=1e-5
        )


@both_tilings
def test_gradient_of_the_bias_equals_differences(tiles):
    z = normal(2, 5, 3)

    class Fixed(LearnableBias):
        bias = None

    bias = Fixed()
    bias.built = True
    loss = SigmoidContrastive(temperature=0.5, bias=bias)

    def at(value):
        bias.__class__.bias = value
        return loss(None, list(z), training=True)

    (found,) = gradients(at, np.float32(-2.0))
    up, down = (
        EVERY["SigmoidContrastive"].value(z, range(5), 0.5, bias=b).mean() for b in (-1.999, -2.001)
    )
    assert found == pytest.approx((up - down) / 0.002, rel=1e-3)


@pytest.mark.parametrize("make", ["gamma", "gamma, positive included", "global"])
def test_estimates_follow_a_changing_temperature(make):
    ids, z = np.arange(24), list(normal(2, 24, 3))

    def built(scale):
        temperature = LearnableTemperature(1 / scale)
        if make == "global":
            loss = GlobalContrastive(24, temperature=temperature, momentum=0.5)
        else:
            case = EVERY[
                "GammaContrastive, positive included" if "included" in make else "GammaContrastive"
            ]
            loss = case.make(temperature=temperature, num_items=24, momentum=0.5)
        loss.build()
        return loss

    def read(loss, scale):
        return to_numpy(
            loss.state.read(ops.arange(24, dtype="int32"), ops.convert_to_tensor(scale))[0]
        )

    loss, fresh = built(5.0), built(6.0)
    loss(ids, z, training=True)
    fresh(ids, z, training=True)
    stale, followed, truth = read(loss, 5.0), read(loss, 6.0), read(fresh, 6.0)
    # What is left is half the squared step of the scale, 1, times a variance of similarities, below
    # 1.
    assert np.abs(followed - truth).max() < 0.35
    assert np.abs(followed - truth).mean() < 0.3 * np.abs(stale - truth).mean()
    # And a visit at the new temperature mixes what belongs together: the same item, at the same
    # scale.
    loss.temperature.log_scale.assign(np.float32(np.log(6.0)))
    loss(ids, z, training=True)
    mixed = np.logaddexp(followed, truth) + np.log(0.5)
    np.testing.assert_allclose(read(loss, 6.0), mixed, atol=1e-4)


def test_estimates_at_a_fixed_temperature_have_no_slopes():
    loss = GlobalContrastive(24, temperature=0.2)
    loss.build()
    assert not loss.state.moving_scale
    assert len(loss.state.weights) == 3


def test_bias_and_temperature_are_checked():
    with pytest.raises(TypeError, match="LearnableBias"):
        SigmoidContrastive(bias="-10")
    loss = SigmoidContrastive(LearnableTemperature(0.1), LearnableBias(-9.0))
    assert [type(layer) for layer in loss.layers] == [LearnableTemperature, LearnableBias]
    again = SigmoidContrastive.from_config(loss.get_config())
    assert (again.temperature.initial, again.bias.initial) == (0.1, -9.0)


@both_tilings
def test_three_views_with_all_candidates_and_a_temperature_per_direction(tiles):
    z = normal(3, 5, 3)
    scales = np.arange(1.0, 7.0, dtype="float32")
    loss = DecoupledContrastive(LearnableTemperature(0.5, per_direction=True))
    loss.build(loss.directions(("0", "1", "2")))
    loss.temperature.log_scale.assign(np.log(scales))
    expected = []
    for direction, scale in enumerate(scales):
        logits, is_positive, is_negative = list(
            reference_losses.directions(z, range(5), 1 / scale, all_views=True)
        )[direction]
        rows = zip(logits, is_positive, is_negative, strict=True)
        expected.append(
            np.mean([np.log(np.exp(row[n]).sum()) - row[p].sum() for row, p, n in rows])
        )
    assert float(loss(None, list(z), training=True)) == pytest.approx(np.mean(expected), rel=1e-5)
