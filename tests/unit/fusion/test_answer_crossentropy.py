"""The loss of an answer sums the cross-entropy over its words."""

import keras
import numpy as np
import pytest

from keras_contrastive.fusion import AnswerCrossentropy
from tests.helpers.backend import to_numpy, value_and_gradients

IDS = np.array([[3, 5, 2, 0], [2, 0, 0, 0], [4, 4, 1, 2]])


@pytest.fixture
def logits(rng):
    logits = rng.normal(size=(3, 4, 6)).astype("float32")
    logits[:, :, 0] = -np.inf  # the decoder excludes padding
    return logits


@pytest.fixture
def probabilities(logits):
    exponentials = np.exp(logits.astype("float64"))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.fixture
def expected(probabilities):
    losses = [
        [-np.log(row[t, word]) for t, word in enumerate(ids) if word]
        for row, ids in zip(probabilities, IDS, strict=True)
    ]
    return np.array([sum(row) for row in losses])


def test_loss_is_the_sum_over_the_words(logits, expected):
    actual = AnswerCrossentropy(reduction="none")(IDS, logits)
    np.testing.assert_allclose(to_numpy(actual), expected, rtol=1e-5)


def test_sample_weights_weigh_answers_in_value_and_gradient(logits, probabilities, expected):
    weights = np.array([1.0, 0.0, 2.0])
    value, (gradient,) = value_and_gradients(
        lambda x: AnswerCrossentropy()(IDS, x, sample_weight=weights), logits
    )
    assert float(value) == pytest.approx((weights * expected).sum() / 3, rel=1e-5)
    expected_gradient = np.zeros_like(probabilities)
    for row, t in zip(*np.nonzero(IDS), strict=True):
        one_hot = np.eye(6)[IDS[row, t]]
        expected_gradient[row, t] = (probabilities[row, t] - one_hot) * weights[row] / 3
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


def test_ids_above_the_range_of_float16_are_exact_under_a_float16_policy():
    keras.config.set_dtype_policy("float16")
    logits = np.full((1, 1, 2051), -50.0, "float32")
    logits[0, 0, 2049] = 50.0
    assert float(AnswerCrossentropy()(np.array([[2049]]), logits)) == pytest.approx(0, abs=1e-6)


def test_config_and_repr_show_the_arguments():
    loss = AnswerCrossentropy(padding_id=3)
    restored = AnswerCrossentropy.from_config(loss.get_config())
    assert restored.get_config() == loss.get_config()
    assert repr(restored) == "AnswerCrossentropy(padding_id=3)"
