"""Flips, crops and blurs put each pixel where the definition does."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive.augmentation import RandomFlip, RandomGaussianBlur, RandomResizedCrop
from keras_contrastive.augmentation._separable import blurring, resampling
from tests.contracts.augmenter_cases import images, row_keys
from tests.helpers.backend import to_numpy
from tests.reference import augmentation as reference

ATOL = 1e-3  # of 255, for sums of float32 products


def view(layer, x, training=True):
    return to_numpy(layer(x, training=training))


def test_a_certain_flip_mirrors_every_image():
    x = images()
    assert np.array_equal(view(RandomFlip(rate=1), x), x[:, :, ::-1])
    assert np.array_equal(view(RandomFlip(rate=1, direction="vertical"), x), x[:, ::-1])
    assert np.array_equal(view(RandomFlip(rate=0), x), x)


def test_about_a_share_of_the_images_is_flipped():
    x = np.arange(2, dtype="float32").reshape(1, 1, 2, 1).repeat(4000, axis=0)
    share = view(RandomFlip(rate=0.3, seed=1), x)[:, 0, 0, 0].mean()
    assert abs(share - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 4000)


def test_the_whole_image_is_the_identity():
    x = images()
    np.testing.assert_allclose(
        view(RandomResizedCrop(area=(1, 1), aspect_ratio=(1, 1)), x), x, atol=ATOL
    )


@pytest.mark.parametrize("size", [None, 4, (9, 3), (20, 20)], ids=str)
def test_a_crop_is_the_box_resized_by_the_reference(size):
    x = images(rows=4)
    layer = RandomResizedCrop(size, area=(0.3, 0.9))
    keys = row_keys(4)
    boxes = np.stack([to_numpy(edge) for edge in layer.draw_boxes(keys, 7, 6)], axis=1)
    new_size = layer.size or (7, 6)
    expected = [
        reference.resized(image, *box, *new_size) for image, box in zip(x, boxes, strict=True)
    ]
    found = to_numpy(layer.augment(ops.convert_to_tensor(x), keys))
    # A weight errs by the rounding of a place in the image: 7 * 6e-8 of a pixel, between neighbors up to 255 apart.
    np.testing.assert_allclose(found, expected, atol=ATOL)


@pytest.mark.parametrize("aspect_ratio", [(0.5, 2.0), (1.0, 1.0), (4.0, 4.0)])
@pytest.mark.parametrize(("height", "width"), [(30, 30), (20, 50)])
def test_boxes_have_the_areas_and_ratios_that_were_asked_for(height, width, aspect_ratio):
    layer = RandomResizedCrop(area=(0.2, 0.7), aspect_ratio=aspect_ratio)
    top, left, rows, columns = (
        to_numpy(edge) for edge in layer.draw_boxes(row_keys(4000), height, width)
    )
    share = rows * columns / (height * width)
    uniform = np.sort((share - 0.2) / 0.5)
    assert np.abs(uniform - (np.arange(4000) + 0.5) / 4000).max() < 1.63 / np.sqrt(
        4000
    )  # Kolmogorov-Smirnov at 1 %
    for start, length, size in ((top, rows, height), (left, columns, width)):
        assert start.min() >= 0
        assert (start + length).max() <= size * (1 + 1e-6)
        free = length < 0.9 * size
        share_of_room = start[free] / (size - length[free])
        assert abs(share_of_room.mean() - 0.5) < 5 * np.sqrt(1 / 12 / max(free.sum(), 1))
    down, right = top / (height - rows + 1e-9), left / (width - columns + 1e-9)
    assert abs(np.corrcoef(down[share < 0.5], right[share < 0.5])[0, 1]) < 5 / np.sqrt(
        (share < 0.5).sum()
    )
    # As asked, or the nearest with which the box fits.
    ratio, relative = columns / rows, columns / rows * height / width
    allowed = (ratio > aspect_ratio[0] * (1 - 1e-5)) & (ratio < aspect_ratio[1] * (1 + 1e-5))
    at_the_edge = np.abs(np.abs(np.log(relative)) + np.log(share)) < 1e-4
    assert np.all(allowed | at_the_edge)
    if aspect_ratio[0] < aspect_ratio[1] and height == width:
        small = np.log(ratio[share < 0.3])  # where every ratio fits
        assert abs(small.mean()) < 5 * np.log(2) / np.sqrt(3 * len(small))
        assert small.std() == pytest.approx(np.log(2) / np.sqrt(3), rel=0.1)


def test_outside_training_the_whole_image_is_resized():
    x = images(rows=2)
    expected = [reference.resized(image, 0, 0, 7, 6, 5, 9) for image in x]
    np.testing.assert_allclose(
        view(RandomResizedCrop((5, 9)), x, training=False), expected, atol=ATOL
    )
    assert np.array_equal(view(RandomResizedCrop((7, 6)), x, training=False), x)


@pytest.mark.emoji_art  # where Pillow is installed
def test_a_crop_is_what_pillow_makes_of_the_box():
    from PIL import Image

    x = images(rows=6, height=40, width=30)
    layer = RandomResizedCrop((16, 24), area=(0.1, 1.0))
    keys = row_keys(6)
    found = to_numpy(layer.augment(ops.convert_to_tensor(x), keys))
    edges = zip(*(to_numpy(edge).tolist() for edge in layer.draw_boxes(keys, 40, 30)), strict=True)
    for row, (top, left, height, width) in enumerate(edges):
        box = (left, top, min(left + width, 30), min(top + height, 40))
        for channel in range(3):
            plane = Image.fromarray(x[row, :, :, channel])
            expected = np.asarray(plane.resize((24, 16), Image.Resampling.BILINEAR, box=box))
            np.testing.assert_allclose(found[row, :, :, channel], expected, atol=1e-2)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_a_blur_is_the_gaussian_of_the_reference(sigma):
    x = images(rows=2)
    expected = [reference.blurred(image, sigma) for image in x]
    np.testing.assert_allclose(
        view(RandomGaussianBlur(sigma=(sigma, sigma), rate=1), x), expected, atol=ATOL
    )


def test_widths_of_the_blur_are_drawn_between_the_bounds():
    x = np.zeros((2000, 1, 21, 1), "float32")
    x[:, :, 10] = 1.0
    blurred = view(RandomGaussianBlur(sigma=(0.5, 1.5), rate=1), x)[:, 0, :, 0].astype("float64")
    sigma = np.sqrt(1 / (2 * np.log(blurred[:, 10] / blurred[:, 11])))
    assert sigma.min() > 0.499
    assert sigma.max() < 1.501
    assert abs(sigma.mean() - 1.0) < 5 / np.sqrt(12 * 2000)


def test_a_share_of_the_images_is_blurred_and_the_others_are_not_touched():
    x = np.zeros((2000, 1, 5, 1), "float32")
    x[:, :, 2] = 1.0
    blurred = view(RandomGaussianBlur(sigma=(1, 1), rate=0.25), x)
    changed = np.any(blurred != x, axis=(1, 2, 3))
    assert abs(changed.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 2000)


@pytest.mark.parametrize("weights", ["resampling", "blurring"])
def test_weights_sum_to_one_also_at_the_border(weights):
    values = ops.convert_to_tensor(np.array([0.01, 0.7, 3.0, 40.0], "float32"))
    made = (
        blurring(values, 9)
        if weights == "blurring"
        else resampling(values * 0, ops.minimum(values, 9.0), 9, 5)
    )
    np.testing.assert_allclose(to_numpy(ops.sum(made, axis=-1)), 1.0, atol=1e-6)
    assert to_numpy(made).min() >= 0
