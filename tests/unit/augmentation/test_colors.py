"""Color augmentations change colors by the drawn factors and stay within the value range."""

import numpy as np
import pytest

from keras_contrastive.augmentation import RandomColorJitter, RandomGrayscale
from tests.contracts.augmenter_cases import images
from tests.helpers.backend import to_numpy
from tests.reference import augmentation as reference

IDENTITY = {f"{name}_factor": 0 for name in ("brightness", "contrast", "saturation", "hue")}
MANY = 4000


def jittered(x, rate=1, value_range=(0, 255), **factors):
    layer = RandomColorJitter(**(IDENTITY | factors), rate=rate, value_range=value_range, seed=0)
    return to_numpy(layer(x, training=True))


def near(fraction, probability):
    """Returns whether a fraction of `MANY` draws is within 5 standard errors."""
    return abs(fraction - probability) < 5 * np.sqrt(probability * (1 - probability) / MANY)


def test_a_gray_image_has_the_luma_in_all_channels():
    x = images()
    expected = np.repeat((x.astype("float64") @ reference.LUMA)[..., None], 3, axis=-1)
    gray = to_numpy(RandomGrayscale(factor=1)(x, training=True))
    np.testing.assert_allclose(gray, expected, rtol=1e-6)


def test_the_rate_is_the_fraction_of_gray_images():
    x = np.tile(np.array([1.0, 2.0, 3.0], "float32"), (MANY, 1, 1, 1))
    gray = to_numpy(RandomGrayscale(factor=0.2, seed=3)(x, training=True))
    assert near(np.any(gray != x, axis=(1, 2, 3)).mean(), 0.2)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.7])
def test_brightness_multiplies_the_image(factor):
    x = images()
    found = jittered(x, brightness_factor=(factor, factor))
    np.testing.assert_allclose(found, np.clip(x * factor, 0, 255), atol=1e-3)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.6])
def test_contrast_keeps_the_mean_luma_if_no_value_is_clipped(factor):
    x = 100 + images() / 10
    found = jittered(x, contrast_factor=(factor, factor))
    means = [(each @ reference.LUMA).mean((1, 2)) for each in (found, x)]
    np.testing.assert_allclose(*means, rtol=1e-5)
    ranges = [np.ptp(each, axis=(1, 2)) for each in (found, x)]
    np.testing.assert_allclose(ranges[0], factor * ranges[1], atol=1e-3)


@pytest.mark.parametrize(("saturation", "turns"), [(0.0, 0.1), (0.5, -0.3), (1.5, 0.0), (1.5, 1.0)])
def test_saturation_and_hue_keep_the_luma(saturation, turns):
    x = 110 + images() / 20
    found = jittered(x, saturation_factor=(saturation, saturation), hue_factor=(turns, turns))
    np.testing.assert_allclose(found @ reference.LUMA, x @ reference.LUMA, rtol=1e-5)
    if saturation == 0:
        np.testing.assert_allclose(np.ptp(found, axis=-1), 0, atol=1e-3)


@pytest.mark.parametrize("turns", [-1.0, 0.0, 1.0])
def test_a_full_turn_of_the_hue_is_the_identity(turns):
    np.testing.assert_allclose(jittered(images(), hue_factor=(turns, turns)), images(), atol=1e-3)


@pytest.mark.parametrize(
    ("factors", "black", "white"),
    [
        ((1.3, 0.6, 1.8, 0.15), 0.0, 255.0),
        ((0.5, 1.7, 0.4, -0.4), 0.0, 1.0),
        ((1.8, 1.8, 1.8, 0.5), -1.0, 1.0),
        ((1.3, 0.6, 1.8, 0.15), -1.0, 1.0),
    ],
)
def test_jitter_equals_the_reference(factors, black, white):
    x = black + (white - black) * images() / 255
    names = tuple(IDENTITY)
    ranges = {name: (factor, factor) for name, factor in zip(names, factors, strict=True)}
    found = jittered(x, value_range=(black, white), **ranges)
    expected = [reference.jittered(each.astype("float64"), *factors, black, white) for each in x]
    # NTSC publishes the conversion from YIQ to RGB with four digits.
    np.testing.assert_allclose(found, expected, atol=2e-4 * (white - black))
    assert found.min() >= black
    assert found.max() <= white


@pytest.mark.parametrize("name", ["brightness_factor", "contrast_factor", "saturation_factor"])
def test_one_number_is_the_distance_of_factors_from_1(name):
    assert getattr(RandomColorJitter(**{name: 0.4}), name) == (0.6, 1.4)
    assert getattr(RandomColorJitter(**{name: 1.5}), name) == (0.0, 2.5)
    assert RandomColorJitter(hue_factor=0.1).hue_factor == (-0.1, 0.1)


def test_factors_are_uniform():
    x = np.ones((MANY, 1, 1, 3), "float32")
    factors = np.sort(jittered(x, brightness_factor=(0.5, 1.5))[:, 0, 0, 0] - 0.5)
    distance = np.abs(factors - (np.arange(MANY) + 0.5) / MANY).max()
    # Critical value of the Kolmogorov-Smirnov test at 1 %.
    assert distance < 1.63 / np.sqrt(MANY)


@pytest.mark.filterwarnings("ignore:`value_range` of:UserWarning")
def test_the_rate_is_the_fraction_of_jittered_images():
    # All values are above white, so that every jittered image is clipped.
    x = np.full((MANY, 1, 1, 3), 300.0, "float32")
    assert near(np.any(jittered(x, rate=0.8) != x, axis=(1, 2, 3)).mean(), 0.8)
