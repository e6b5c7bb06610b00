"""`TokenCorruption` chooses, masks and replaces tokens as BERT does."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.augmentation import TokenCorruption
from tests.helpers.backend import to_numpy

VOCABULARY, MASK, KEPT = 20, 3, (1, 2)
ROWS, LENGTH = 3000, 12


@pytest.fixture
def ids(rng):
    """Texts `[1, words, 2, padding]` of random lengths. Words are in `[4, VOCABULARY)`."""
    ids = rng.integers(4, VOCABULARY, (ROWS, LENGTH))
    lengths = rng.integers(3, LENGTH + 1, ROWS)
    ids[:, 0] = 1
    ids[np.arange(ROWS), lengths - 1] = 2
    return np.where(np.arange(LENGTH) < lengths[:, None], ids, 0).astype("int32")


def corruption(**kwargs):
    layer = TokenCorruption(VOCABULARY, MASK, kept_ids=KEPT, seed=5, **kwargs)
    layer.build()
    return layer


def corrupt(layer, *arrays):
    return map(to_numpy, layer.corrupt(*map(ops.convert_to_tensor, arrays)))


def test_15_percent_are_chosen_80_percent_of_them_masked_and_10_percent_replaced(ids):
    changed, chosen = corrupt(corruption(), ids)
    is_word = ids > 3

    def share(expected, count):
        return pytest.approx(expected, abs=4.5 * np.sqrt(expected * (1 - expected) / count))

    assert chosen[is_word].mean() == share(0.15, is_word.sum())
    is_masked, is_changed = changed == MASK, (changed != MASK) & (changed != ids)
    assert is_masked[chosen].mean() == share(0.8, chosen.sum())
    # One of the 16 words replaces itself.
    assert is_changed[chosen].mean() == share(0.1 * 15 / 16, chosen.sum())
    np.testing.assert_array_equal(changed[~chosen], ids[~chosen])


def test_kept_ids_and_padding_are_never_chosen_and_never_inserted(ids):
    changed, chosen = corrupt(corruption(rate=1.0, hidden=0.0, replaced=1.0), ids)
    np.testing.assert_array_equal(chosen, ids > 3)
    assert set(np.unique(changed[chosen])) == set(range(4, VOCABULARY))
    np.testing.assert_array_equal(changed[~chosen], ids[~chosen])


def test_mask_replaces_the_padding_id(ids, rng):
    mask = rng.uniform(size=ids.shape) < 0.5
    changed, chosen = corrupt(corruption(rate=1.0), ids, mask)
    np.testing.assert_array_equal(chosen, (ids > 3) & mask)
    np.testing.assert_array_equal(changed[~mask], ids[~mask])


def test_only_training_advances_the_draws(ids):
    layer, ids = corruption(rate=0.5), ops.convert_to_tensor(ids)
    first, again = (to_numpy(layer.corrupt(ids, training=False)[0]) for _ in range(2))
    np.testing.assert_array_equal(again, first)
    steps = [to_numpy(layer.corrupt(ids)[0]) for _ in range(2)]
    np.testing.assert_array_equal(to_numpy(layer.corrupt(ids, training=False)[0]), first)
    same = corruption(rate=0.5)
    np.testing.assert_array_equal(to_numpy(same.corrupt(ids)[0]), steps[0])
    for one, other in ((first, steps[0]), (first, steps[1]), steps):
        assert (one != other).any()


def test_layer_changes_nothing_outside_training(ids):
    layer = TokenCorruption.from_config(corruption(rate=1.0).get_config())
    np.testing.assert_array_equal(to_numpy(layer(ids)), ids)
    assert (to_numpy(layer(ids, training=True)) != ids).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 1.5}, "`rate` must be"),
        ({"hidden": 0.8, "replaced": 0.3}, "sum to at most 1"),
        ({"mask_id": VOCABULARY}, "must be a token id"),
        ({"vocabulary_size": 4}, "Received: vocabulary_size=4"),
        ({"vocabulary_size": 0}, "positive integer"),
        ({"vocabulary_size": None}, "positive integer"),
    ],
)
def test_wrong_arguments_raise(arguments, message):
    valid = {"vocabulary_size": VOCABULARY, "mask_id": MASK, "kept_ids": KEPT}
    with pytest.raises((TypeError, ValueError), match=message):
        TokenCorruption(**valid | arguments)


def test_sizes_can_be_numpy_integers():
    layer = TokenCorruption(np.int64(VOCABULARY), np.int32(MASK), kept_ids=KEPT)
    assert (layer.vocabulary_size, layer.mask_id) == (VOCABULARY, MASK)


def test_length_must_be_known():
    with pytest.raises(ValueError, match="of known length"):
        corruption().corrupt(keras.Input((None,), dtype="int32"))
