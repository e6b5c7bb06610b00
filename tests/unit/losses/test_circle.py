"""Circle: equal to the loss of Keras where that is defined, and clear errors."""

import keras
import numpy as np
import pytest

from keras_contrastive.losses import Circle
from tests.helpers import normal
from tests.helpers.backend import to_numpy, value_and_gradients

LABELS = np.array([0, 1, 0, 2, 1, 0])


@pytest.mark.parametrize(("gamma", "margin"), [(80.0, 0.4), (5.0, 0.25)])
def test_value_equals_that_of_keras(gamma, margin):
    z = normal(6, 4)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    ours = to_numpy(Circle(gamma, margin, reduction=None)(LABELS, z))
    theirs = to_numpy(keras.losses.Circle(gamma, margin, reduction=None)(LABELS, z))
    valid = LABELS != 2  # Keras has another value for rows without a positive
    np.testing.assert_allclose(ours[valid], theirs[valid], rtol=1e-5, atol=1e-5)
    assert ours[3] == 0


def test_negatives_that_are_far_enough_have_no_gradient():
    # The positive equals the anchor, whose weight is the margin. A negative beyond -margin has 0.
    z = np.array([[1, 0], [1, 0], [-0.8, 0.6]], "float32")
    _, (found,) = value_and_gradients(
        lambda z: Circle(gamma=1.0, normalize=False)(np.array([7, 7, 8]), z), z
    )
    assert np.any(found[0] != 0)
    np.testing.assert_array_equal(found[2], [0, 0])


def test_wrong_arguments_raise():
    with pytest.raises(TypeError, match=r"no argument `temperature`.*Set `gamma` instead"):
        Circle(temperature=0.1)
    for arguments in ({"gamma": 0.0}, {"margin": 0.0}, {"margin": 1.0}, {"margin": -0.4}):
        (name,) = arguments
        with pytest.raises(ValueError, match=rf"`{name}` must be .*Received: {name}="):
            Circle(**arguments)
