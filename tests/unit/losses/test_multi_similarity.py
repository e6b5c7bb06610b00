"""MultiSimilarity: values of pytorch-metric-learning, and sums over positives."""

import numpy as np
import pytest

from keras_contrastive.config import set_tile_shape
from keras_contrastive.layers import EmbeddingQueue
from keras_contrastive.losses import MultiSimilarity
from tests.helpers import normal
from tests.helpers.backend import FASTEST, to_numpy, value_and_gradients
from tests.reference.losses import multi_similarity

LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])


def test_value_and_gradient_equal_those_of_pytorch_metric_learning():
    # `MultiSimilarityLoss(2, 50, 0.5)` of version 2.9.0, for these rows.
    z = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    value, (found,) = value_and_gradients(lambda z: MultiSimilarity()(LABELS, z), z, **FASTEST)
    assert value == pytest.approx(1.393437147, rel=1e-5)
    expected = [
        [-0.0511976257, 0.1089539826, -0.0013562888, 0.2068542540],
        [0.0847743154, 0.0238935910, 0.0432483144, -0.0207211375],
    ]
    np.testing.assert_allclose(found[:2], expected, atol=1e-6)


@pytest.mark.parametrize("steepness", [(1.0, 3.0), (5.0, 100.0)])
def test_tiles_of_labeled_rows_change_neither_value_nor_gradient(steepness):
    z, hard = normal(9, 3), normal(4, 3, seed=9)
    present = np.arange(9) != 4
    loss = MultiSimilarity(*steepness, base=0.2)

    def value(z, hard):
        negatives = {0: (hard, np.array([2, 7, 8, 0]))}
        return loss(LABELS, z, hard_negatives=negatives, present={0: present})

    results = []
    for shape in (None, (4, 3)):
        set_tile_shape(shape)
        results.append(value_and_gradients(value, z, hard, **FASTEST))
    (expected, gradients), (found, tiled) = results
    assert found == pytest.approx(expected, rel=1e-5)
    for x, y in zip(tiled, gradients, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


def test_rows_of_a_queue_with_the_label_are_positives():
    loss = MultiSimilarity(memory=EmbeddingQueue(9, 3), reduction=None)
    loss.build([])
    first, z = normal(9, 3, seed=1), normal(9, 3)
    loss(LABELS, first, training=True)
    expected = multi_similarity([z], LABELS, None, extra={0: [(first, LABELS)]})
    found = to_numpy(loss(LABELS, z, training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"alpha": 0}, ValueError, "`alpha` must be a positive"),
        ({"beta": -1.0}, ValueError, "`beta` must be a positive"),
        ({"base": np.inf}, ValueError, "`base` must be"),
        ({"base": "half"}, TypeError, "`base` must be"),
        ({"temperature": 0.1}, TypeError, "no argument `temperature`.*Set `alpha` and `beta`"),
    ],
)
def test_wrong_arguments_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        MultiSimilarity(**arguments)
