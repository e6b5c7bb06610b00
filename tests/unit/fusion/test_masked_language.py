"""What is masked, how often, and that specials and padding never are."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.augmentation import TokenCorruption
from keras_contrastive.fusion import MaskedLanguage
from tests.helpers.backend import to_numpy

VOCABULARY, MASK, KEPT = 20, 3, (1, 2)


def texts(rng, rows=3000, length=12):
    ids = rng.integers(4, VOCABULARY, (rows, length))
    lengths = rng.integers(3, length + 1, rows)
    ids[:, 0] = 1
    ids[np.arange(rows), lengths - 1] = 2
    return np.where(np.arange(length) < lengths[:, None], ids, 0).astype("int32")


def corruption(**kwargs):
    layer = TokenCorruption(VOCABULARY, MASK, kept_ids=KEPT, seed=5, **kwargs)
    layer.build()
    return layer


def test_fifteen_in_a_hundred_are_chosen_of_which_eight_in_ten_are_hidden_and_one_replaced(rng):
    ids = texts(rng)
    changed, chosen = map(to_numpy, corruption().corrupt(ops.convert_to_tensor(ids)))
    words = ids > 3
    count = words.sum()
    assert chosen[words].mean() == pytest.approx(0.15, abs=4.5 * np.sqrt(0.15 * 0.85 / count))
    hidden = (changed == MASK)[chosen].mean()
    other = ((changed != MASK) & (changed != ids))[chosen].mean()
    spread = 4.5 * np.sqrt(0.1 * 0.9 / chosen.sum())
    assert hidden == pytest.approx(0.8, abs=4.5 * np.sqrt(0.8 * 0.2 / chosen.sum()))
    assert other == pytest.approx(0.1 * 15 / 16, abs=spread)  # one of sixteen words replaces itself
    np.testing.assert_array_equal(changed[~chosen], ids[~chosen])


def test_specials_and_padding_are_never_chosen_and_never_come_anew(rng):
    ids = texts(rng)
    changed, chosen = map(
        to_numpy, corruption(rate=1.0, hidden=0.0, replaced=1.0).corrupt(ops.convert_to_tensor(ids))
    )
    np.testing.assert_array_equal(chosen, ids > 3)
    assert set(np.unique(changed[chosen])) == set(
        range(4, VOCABULARY)
    )  # all words, and nothing else
    np.testing.assert_array_equal(changed[~chosen], ids[~chosen])


def test_a_mask_of_ones_own_hides_padding_too(rng):
    ids = texts(rng, rows=20)
    mask = rng.uniform(size=ids.shape) < 0.5
    changed, chosen = map(
        to_numpy, corruption(rate=1.0).corrupt(*map(ops.convert_to_tensor, (ids, mask)))
    )
    np.testing.assert_array_equal(chosen, (ids > 3) & mask)
    np.testing.assert_array_equal(changed[~mask], ids[~mask])


def test_the_draws_are_these_on_every_backend_and_others_in_the_next_step():
    layer, ids = corruption(rate=0.5), np.arange(4, 16, dtype="int32")[None]
    first, second = (to_numpy(layer.corrupt(ops.convert_to_tensor(ids))[0]) for _ in range(2))
    np.testing.assert_array_equal(first[0], [3, 3, 6, 7, 8, 3, 10, 3, 3, 3, 14, 3])
    assert (first != second).any()


def test_as_a_layer_it_is_an_augmenter_that_rests_outside_training(rng):
    ids = texts(rng, rows=5)
    layer = TokenCorruption.from_config(corruption(rate=1.0).get_config())
    np.testing.assert_array_equal(to_numpy(layer(ids)), ids)
    assert (to_numpy(layer(ids, training=True)) != ids).any()


def test_the_loss_is_the_cross_entropy_of_the_chosen_words(rng):
    logits = rng.normal(size=(2, 4, 5)).astype("float32")
    ids = rng.integers(0, 5, (2, 4)).astype("int32")
    chosen = np.array([[True, False, True, False], [False] * 4])
    exact = logits.astype("float64")
    log_shares = exact - np.log(np.exp(exact).sum(axis=-1, keepdims=True))
    expected = -log_shares[0, 0, ids[0, 0]] - log_shares[0, 2, ids[0, 2]]
    total, count = MaskedLanguage.cross_entropy(*map(ops.convert_to_tensor, (logits, ids, chosen)))
    np.testing.assert_allclose(to_numpy(total), [expected, 0.0], rtol=1e-5)
    np.testing.assert_array_equal(to_numpy(count), [2, 0])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"rate": 1.5}, "`rate` must be in"),
        ({"hidden": 0.8, "replaced": 0.3}, "sum to at most 1"),
        ({"mask_id": VOCABULARY}, "must be a token id"),
        ({"vocabulary_size": 4}, "no token but padding"),
        ({"vocabulary_size": 0}, "positive integer"),
    ],
)
def test_what_it_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TokenCorruption(
            **{"vocabulary_size": VOCABULARY, "mask_id": MASK, "kept_ids": KEPT} | kwargs
        )


def test_texts_have_a_length_and_sizes_may_be_numpys():
    corruption = TokenCorruption(np.int64(VOCABULARY), np.int32(MASK), kept_ids=KEPT)
    assert (corruption.vocabulary_size, corruption.mask_id) == (VOCABULARY, MASK)
    with pytest.raises(ValueError, match="of known length"):
        corruption.corrupt(keras.Input((None,), dtype="int32"))
    with pytest.raises((TypeError, ValueError), match="positive integer"):
        TokenCorruption(None, MASK)
