"""Colors change by the factors that were drawn, and stay within their range."""

import numpy as np
import pytest

from keras_contrastive.augmentation import RandomColorJitter, RandomGrayscale
from tests.contracts.augmenter_cases import images
from tests.helpers.backend import to_numpy
from tests.reference import augmentation as reference

NOTHING = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}


def jittered(x, training=True, rate=1, value_range=(0, 255), seed=0, **factors):
    layer = RandomColorJitter(**(NOTHING | factors), rate=rate, value_range=value_range, seed=seed)
    return to_numpy(layer(x, training=training))


def test_luma_in_all_channels_is_gray():
    x = images()
    expected = np.repeat((x.astype("float64") @ reference.LUMA)[..., None], 3, axis=-1)
    np.testing.assert_allclose(
        to_numpy(RandomGrayscale(rate=1)(x, training=True)), expected, rtol=1e-6
    )


def test_a_share_of_the_images_turns_gray_and_the_others_are_not_touched():
    x = np.tile(np.array([1.0, 2.0, 3.0], "float32"), (4000, 1, 1, 1))
    gray = to_numpy(RandomGrayscale(rate=0.2, seed=3)(x, training=True))
    changed = np.any(gray != x, axis=(1, 2, 3))
    assert abs(changed.mean() - 0.2) < 5 * np.sqrt(0.2 * 0.8 / 4000)


@pytest.mark.parametrize("brightness", [0.0, 0.4, 1.0, 1.7])
def test_brightness_multiplies(brightness):
    x = images()
    expected = np.clip(x * brightness, 0, 255)
    np.testing.assert_allclose(
        jittered(x, brightness=(brightness, brightness)), expected, atol=1e-3
    )


@pytest.mark.parametrize("contrast", [0.0, 0.5, 1.6])
def test_contrast_leaves_the_mean_where_nothing_is_clipped(contrast):
    x = 100 + images() / 10
    found = jittered(x, contrast=(contrast, contrast))
    np.testing.assert_allclose(
        (found @ reference.LUMA).mean((1, 2)), (x @ reference.LUMA).mean((1, 2)), rtol=1e-5
    )
    np.testing.assert_allclose(
        np.ptp(found, axis=(1, 2)), contrast * np.ptp(x, axis=(1, 2)), atol=1e-3
    )


@pytest.mark.parametrize("saturation", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("turns", [-0.3, 0.0, 0.1, 1.0])
def test_saturation_and_hue_keep_the_luma(saturation, turns):
    x = 110 + images() / 20
    found = jittered(x, saturation=(saturation, saturation), hue=(turns, turns))
    np.testing.assert_allclose(found @ reference.LUMA, x @ reference.LUMA, rtol=1e-5)
    if saturation == 0:
        np.testing.assert_allclose(np.ptp(found, axis=-1), 0, atol=1e-3)


@pytest.mark.parametrize("turns", [-1.0, 0.0, 1.0])
def test_a_whole_turn_of_the_hue_is_the_identity(turns):
    np.testing.assert_allclose(jittered(images(), hue=(turns, turns)), images(), atol=1e-3)


@pytest.mark.parametrize(("black", "white"), [(0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize(
    "factors", [(1.3, 0.6, 1.8, 0.15), (0.5, 1.7, 0.4, -0.4), (1.8, 1.8, 1.8, 0.5)], ids=str
)
def test_all_together_equal_the_reference(factors, black, white):
    x = black + (white - black) * images() / 255
    names = ("brightness", "contrast", "saturation", "hue")
    found = jittered(
        x, value_range=(black, white), **{n: (f, f) for n, f in zip(names, factors, strict=True)}
    )
    expected = np.stack(
        [reference.jittered(image.astype("float64"), *factors, black, white) for image in x]
    )
    # NTSC publishes the way back from YIQ with four digits.
    np.testing.assert_allclose(found, expected, atol=2e-4 * (white - black))
    assert found.min() >= black
    assert found.max() <= white


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_a_number_is_how_far_factors_are_from_one(name):
    assert getattr(RandomColorJitter(**{name: 0.4}), name) == (0.6, 1.4)
    assert getattr(RandomColorJitter(**{name: 1.5}), name) == (0.0, 2.5)
    assert RandomColorJitter(hue=0.1).hue == (-0.1, 0.1)


def test_factors_are_uniform():
    x = np.ones((4000, 1, 1, 3), "float32")
    factors = np.sort(jittered(x, brightness=(0.5, 1.5))[:, 0, 0, 0] - 0.5)
    assert np.abs(factors - (np.arange(4000) + 0.5) / 4000).max() < 1.63 / np.sqrt(
        4000
    )  # Kolmogorov-Smirnov at 1 %


def test_a_share_of_the_images_is_jittered_and_the_others_are_not_touched():
    x = np.full(
        (4000, 1, 1, 3), 300.0, "float32"
    )  # beyond white, so that whatever is touched is clipped
    changed = np.any(jittered(x, rate=0.8) != x, axis=(1, 2, 3))
    assert abs(changed.mean() - 0.8) < 5 * np.sqrt(0.2 * 0.8 / 4000)
