"""Flips, crops and blurs equal their definitions pixel by pixel."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive.augmentation import RandomFlip, RandomGaussianBlur, RandomResizedCrop
from keras_contrastive.augmentation._separable import blur_weights, resize_weights
from tests.contracts.augmenter_cases import images, row_keys
from tests.helpers.backend import to_numpy
from tests.reference import augmentation as reference

# Pixels are up to 255. Sums of float32 products err by less.
ATOL = 1e-3
MANY = 2000


def near(fraction, probability):
    """Returns whether a fraction of `MANY` draws is within 5 standard errors."""
    return abs(fraction - probability) < 5 * np.sqrt(probability * (1 - probability) / MANY)


def view(layer, x, training=True):
    return to_numpy(layer(x, training=training))


def test_a_rate_of_1_flips_every_image_and_a_rate_of_0_none():
    x = images()
    assert np.array_equal(view(RandomFlip(rate=1), x), x[:, :, ::-1])
    assert np.array_equal(view(RandomFlip(rate=1, mode="vertical"), x), x[:, ::-1])
    assert np.array_equal(view(RandomFlip(rate=0), x), x)


def test_the_rate_is_the_fraction_of_flipped_images():
    x = np.arange(2, dtype="float32").reshape(1, 1, 2, 1).repeat(MANY, axis=0)
    assert near(view(RandomFlip(rate=0.3, seed=1), x)[:, 0, 0, 0].mean(), 0.3)


def test_a_crop_of_the_whole_image_is_the_identity():
    x = images()
    np.testing.assert_allclose(view(RandomResizedCrop(scale=(1, 1), ratio=(1, 1)), x), x, atol=ATOL)


@pytest.mark.parametrize("size", [None, (20, 3)], ids=str)
def test_a_crop_equals_the_box_resized_by_the_reference(size):
    x = images()
    layer = RandomResizedCrop(size, scale=(0.3, 0.9))
    keys = row_keys(len(x))
    boxes = np.stack([to_numpy(edge) for edge in layer.draw_boxes(keys, 7, 6)], axis=1)
    new_size = layer.size or (7, 6)
    expected = [
        reference.resized(image, *box, *new_size) for image, box in zip(x, boxes, strict=True)
    ]
    found = to_numpy(layer.augment(ops.convert_to_tensor(x), keys))
    # Positions err by rounding, 7 * 6e-8 of a pixel. Neighbors differ by up to 255.
    np.testing.assert_allclose(found, expected, atol=ATOL)


@pytest.mark.parametrize("aspect_ratio", [(0.5, 2.0), (1.0, 1.0), (4.0, 4.0)])
@pytest.mark.parametrize(("height", "width"), [(30, 30), (20, 50)])
def test_boxes_have_the_requested_areas_and_ratios(height, width, aspect_ratio):
    layer = RandomResizedCrop(scale=(0.2, 0.7), ratio=aspect_ratio)
    top, left, rows, columns = (
        to_numpy(edge) for edge in layer.draw_boxes(row_keys(MANY), height, width)
    )
    area = rows * columns / (height * width)
    quantiles = np.sort((area - 0.2) / 0.5)
    distance = np.abs(quantiles - (np.arange(MANY) + 0.5) / MANY).max()
    # Critical value of the Kolmogorov-Smirnov test at 1 %.
    assert distance < 1.63 / np.sqrt(MANY)
    for start, length, size in ((top, rows, height), (left, columns, width)):
        assert start.min() >= 0
        assert (start + length).max() <= size * (1 + 1e-6)
        smaller = length < 0.9 * size
        position = start[smaller] / (size - length[smaller])
        assert abs(position.mean() - 0.5) < 5 * np.sqrt(1 / 12 / max(smaller.sum(), 1))
    down, right = top / (height - rows + 1e-9), left / (width - columns + 1e-9)
    small = area < 0.5
    correlation = np.corrcoef(down[small], right[small])[0, 1]
    assert abs(correlation) < 5 / np.sqrt(small.sum())
    # The ratio is the requested one, or the nearest one for which the box fits.
    ratio, relative = columns / rows, columns / rows * height / width
    requested = (ratio > aspect_ratio[0] * (1 - 1e-5)) & (ratio < aspect_ratio[1] * (1 + 1e-5))
    nearest = np.abs(np.abs(np.log(relative)) + np.log(area)) < 1e-4
    assert np.all(requested | nearest)
    if aspect_ratio[0] < aspect_ratio[1] and height == width:
        # All ratios fit into boxes of this area.
        logs = np.log(ratio[area < 0.3])
        assert abs(logs.mean()) < 5 * np.log(2) / np.sqrt(3 * len(logs))
        assert logs.std() == pytest.approx(np.log(2) / np.sqrt(3), rel=0.1)


def test_outside_training_the_whole_image_is_resized():
    x = images()
    expected = [reference.resized(image, 0, 0, 7, 6, 20, 3) for image in x]
    found = view(RandomResizedCrop((20, 3)), x, training=False)
    np.testing.assert_allclose(found, expected, atol=ATOL)
    assert np.array_equal(view(RandomResizedCrop((7, 6)), x, training=False), x)


# The environment of this marker has Pillow.
@pytest.mark.emoji_art
def test_a_crop_equals_the_box_resized_by_pillow():
    from PIL import Image

    x = images(rows=6, height=40, width=30)
    layer = RandomResizedCrop((16, 24), scale=(0.1, 1.0))
    keys = row_keys(6)
    found = to_numpy(layer.augment(ops.convert_to_tensor(x), keys))
    edges = zip(*(to_numpy(edge).tolist() for edge in layer.draw_boxes(keys, 40, 30)), strict=True)
    for row, (top, left, height, width) in enumerate(edges):
        box = (left, top, min(left + width, 30), min(top + height, 40))
        for channel in range(3):
            plane = Image.fromarray(x[row, :, :, channel])
            expected = np.asarray(plane.resize((24, 16), Image.Resampling.BILINEAR, box=box))
            np.testing.assert_allclose(found[row, :, :, channel], expected, atol=1e-2)


@pytest.mark.parametrize("sigma", [0.3, 2.5])
def test_a_blur_equals_the_gaussian_of_the_reference(sigma):
    x = images()
    expected = [reference.blurred(image, sigma) for image in x]
    found = view(RandomGaussianBlur(sigma=(sigma, sigma), rate=1), x)
    np.testing.assert_allclose(found, expected, atol=ATOL)


def line_of_one_bright_pixel():
    x = np.zeros((MANY, 1, 21, 1), "float32")
    x[:, :, 10] = 1.0
    return x


def test_widths_of_the_blur_are_uniform_between_the_bounds():
    x = line_of_one_bright_pixel()
    blurred = view(RandomGaussianBlur(sigma=(0.5, 1.5), rate=1), x)[:, 0, :, 0].astype("float64")
    sigma = np.sqrt(1 / (2 * np.log(blurred[:, 10] / blurred[:, 11])))
    assert sigma.min() > 0.499
    assert sigma.max() < 1.501
    assert abs(sigma.mean() - 1.0) < 5 / np.sqrt(12 * MANY)


def test_the_rate_is_the_fraction_of_blurred_images():
    x = line_of_one_bright_pixel()
    blurred = view(RandomGaussianBlur(sigma=(1, 1), rate=0.25), x)
    assert near(np.any(blurred != x, axis=(1, 2, 3)).mean(), 0.25)


def test_weights_sum_to_1_even_at_the_border():
    values = ops.convert_to_tensor(np.array([0.01, 0.7, 3.0, 40.0], "float32"))
    lengths = ops.minimum(values, 9.0)
    for weights in (blur_weights(values, 9), resize_weights(values * 0, lengths, 9, 5)):
        np.testing.assert_allclose(to_numpy(ops.sum(weights, axis=-1)), 1.0, atol=1e-6)
        assert to_numpy(weights).min() >= 0
