"""`MaskedLanguage` corrupts texts and scores the restored words."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive.augmentation import TokenCorruption
from keras_contrastive.fusion import MaskedLanguage
from tests.helpers.backend import to_numpy

VOCABULARY, MASK, KEPT = 20, 3, (1, 2)
IDS = np.array([[1, *range(4, 14), 2], [1, 5, 2, *[0] * 9]], "int32")


def test_loss_is_the_cross_entropy_of_the_chosen_words(rng):
    logits = rng.normal(size=(2, 4, 5)).astype("float32")
    ids = rng.integers(0, 5, (2, 4)).astype("int32")
    chosen = np.array([[True, False, True, False], [False] * 4])
    exact = logits.astype("float64")
    log_probabilities = exact - np.log(np.exp(exact).sum(axis=-1, keepdims=True))
    expected = -log_probabilities[0, 0, ids[0, 0]] - log_probabilities[0, 2, ids[0, 2]]
    total, count = MaskedLanguage.cross_entropy(*map(ops.convert_to_tensor, (logits, ids, chosen)))
    np.testing.assert_allclose(to_numpy(total), [expected, 0.0], rtol=1e-5)
    np.testing.assert_array_equal(to_numpy(count), [2, 0])


def test_texts_are_corrupted_by_token_corruption():
    language = MaskedLanguage(VOCABULARY, MASK, kept_ids=KEPT, rate=0.5, seed=5)
    corruption = TokenCorruption(VOCABULARY, MASK, rate=0.5, kept_ids=KEPT, seed=5)
    for layer in (language.corruption, corruption):
        layer.build()
    ids = ops.convert_to_tensor(IDS)
    for actual, expected in zip(language.corrupt(ids), corruption.corrupt(ids), strict=True):
        np.testing.assert_array_equal(to_numpy(actual), to_numpy(expected))


def test_config_restores_the_arguments():
    config = MaskedLanguage(VOCABULARY, MASK, KEPT, rate=0.3, seed=5, weight=0.5).get_config()
    restored = MaskedLanguage.from_config(config)
    assert restored.get_config() == config
    assert (restored.weight, restored.rate, restored.corruption.seed) == (0.5, 0.3, 5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weight": -1.0}, ValueError, "`weight` must be a non-negative, finite number"),
        ({"weight": True}, TypeError, "`weight` must be a non-negative, finite number"),
        ({"rate": 1.5}, ValueError, "`rate` must be"),
        ({"mask_id": VOCABULARY}, ValueError, "must be a token id"),
        ({"vocabulary_size": 0}, ValueError, "`vocabulary_size` must be a positive integer"),
    ],
)
def test_wrong_arguments_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        MaskedLanguage(**{"vocabulary_size": VOCABULARY, "mask_id": MASK} | arguments)
