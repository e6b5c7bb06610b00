"""Token augmentations make their change and no other."""

import collections

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from keras import ops

from keras_contrastive import augmentation as aug
from keras_contrastive.augmentation._base import part_keys
from keras_contrastive.augmentation._token_augmenter import draw_below
from tests.contracts.augmenter_cases import TABLE, TOKEN_LAYERS, row_keys
from tests.helpers.backend import to_numpy

LENGTH = 10
KEPT = (1, 2)
EVERY = {name: make(kept_ids=KEPT) for name, make in TOKEN_LAYERS.items()}
MANY = 4000


# All inputs have this shape: JAX compiles each operation for each shape.
def rows_of(*tokens, length=LENGTH, rows=MANY):
    """Returns equal rows of tokens, padded with 0."""
    ids = np.zeros((rows, length), "int32")
    ids[:, : len(tokens)] = tokens
    return ids


def near(fraction, probability, number=MANY):
    """Returns whether a fraction of draws is within 5 standard errors."""
    return abs(fraction - probability) < 5 * np.sqrt(probability * (1 - probability) / number)


def view(layer, ids, seed=0):
    return to_numpy(layer.augment(ops.convert_to_tensor(ids), row_keys(len(ids), seed)))


def tokens_of(row):
    return [token for token in row.tolist() if token != 0]


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(token in rest for token in part)


@st.composite
def padded_rows(draw, rows=4):
    """Rows of 0 to `LENGTH` tokens from 1 to 8, padded with 0."""
    ids = np.zeros((rows, LENGTH), "int32")
    for row in ids:
        tokens = draw(st.lists(st.integers(1, 8), max_size=LENGTH))
        row[: len(tokens)] = tokens
    return ids


seeds = st.integers(-(2**31), 2**31 - 1)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("name", EVERY)
@hypothesis.given(ids=padded_rows(), seed=seeds)
def test_padding_stays_at_the_end_and_kept_ids_stay_in_order(name, ids, seed):
    for before, after in zip(ids, view(EVERY[name], ids, seed), strict=True):
        assert np.all(np.diff((after == 0).astype(int)) >= 0)
        kept = [[token for token in row.tolist() if token in KEPT] for row in (before, after)]
        assert kept[0] == kept[1]
        assert bool(tokens_of(after)) == bool(tokens_of(before))
        if not set(before.tolist()) - {0, *KEPT}:
            assert np.array_equal(before, after)


@hypothesis.given(ids=padded_rows(), seed=seeds)
def test_deletion_keeps_a_subsequence_and_at_least_one_deletable_token(ids, seed):
    for layer in (EVERY["deletion"], aug.RandomTokenDeletion(rate=1, kept_ids=KEPT)):
        for before, after in zip(ids, view(layer, ids, seed), strict=True):
            assert is_subsequence(tokens_of(after), tokens_of(before))
            deletable, remaining = (
                sum(token not in KEPT for token in tokens_of(row)) for row in (before, after)
            )
            assert remaining >= min(deletable, 1)
            if layer.rate == 1:
                assert remaining == min(deletable, 1)


@hypothesis.given(ids=padded_rows(), seed=seeds)
def test_swaps_keep_the_tokens_and_the_positions_of_kept_ids(ids, seed):
    for before, after in zip(ids, view(EVERY["swap"], ids, seed), strict=True):
        assert collections.Counter(before.tolist()) == collections.Counter(after.tolist())
        fixed = np.isin(before, (0, *KEPT))
        assert np.array_equal(before[fixed], after[fixed])


@hypothesis.given(ids=padded_rows(), seed=seeds)
def test_insertion_adds_only_synonyms_of_the_row(ids, seed):
    for before, after in zip(ids, view(EVERY["insertion"], ids, seed), strict=True):
        before, after = tokens_of(before), tokens_of(after)
        assert is_subsequence(before, after)
        added = collections.Counter(after) - collections.Counter(before)
        assert set(added) <= {synonym for token in before for synonym in TABLE.get(token, ())}
        room = LENGTH - len(before)
        assert sum(added.values()) == (min(2, room) if set(before) & set(TABLE) else 0)


@hypothesis.given(ids=padded_rows(), seed=seeds)
def test_replacement_and_masking_keep_positions(ids, seed):
    replaced, masked = view(EVERY["replacement"], ids, seed), view(EVERY["masking"], ids, seed)
    for before, after in zip(
        ids[replaced != ids].tolist(), replaced[replaced != ids].tolist(), strict=True
    ):
        assert after in TABLE[before]
    assert np.all(masked[masked != ids] == 99)


def test_rates_are_fractions_of_the_tokens():
    ids = rows_of(1, 3, 4, 5, 6, 2, 0)
    masked = view(aug.RandomTokenMasking(99, rate=0.15, kept_ids=KEPT), ids) == 99
    assert near(masked[:, 1:5].mean(), 0.15, 4 * MANY)
    replaced = view(aug.RandomTokenReplacement(TABLE, rate=0.3), ids)
    assert near((replaced[:, 3:5] != ids[:, 3:5]).mean(), 0.3, 2 * MANY)
    chosen = replaced[:, 3][replaced[:, 3] != 5]
    assert near((chosen == 50).mean(), 0.5, len(chosen))
    kept = (view(aug.RandomTokenDeletion(rate=0.2, kept_ids=KEPT), ids) != 0).sum(1) - 2
    # If all four tokens were deleted, one of them remains.
    assert near(kept.mean() / 4, 0.8 + 0.2**4 / 4, 4 * MANY)


def test_a_rate_of_0_changes_nothing_and_a_rate_of_1_every_token():
    ids = rows_of(5, 6, 6, 0)
    for layer in (
        aug.RandomTokenDeletion(0),
        aug.RandomTokenMasking(99, 0),
        aug.RandomTokenReplacement(TABLE, 0),
    ):
        assert np.array_equal(view(layer, ids), ids)
    assert np.all(view(aug.RandomTokenMasking(99, 1), ids)[:, :3] == 99)
    assert np.all(view(aug.RandomTokenReplacement(TABLE, 1), ids)[:, :3] >= 50)


def test_every_pair_is_swapped_equally_often():
    ids = rows_of(3, 1, 4, 5, 0)
    swapped = view(aug.RandomTokenSwap(kept_ids=(1,)), ids)[:, :4]
    found = collections.Counter(map(tuple, swapped.tolist()))
    assert set(found) == {(4, 1, 3, 5), (5, 1, 4, 3), (3, 1, 5, 4)}
    assert all(near(count / MANY, 1 / 3) for count in found.values())


@pytest.mark.parametrize(("length", "swaps"), [(2, 1), (10, 1), (20, 2), (39, 3)])
def test_a_float_is_a_fraction_of_the_tokens_of_the_row_and_at_least_one(length, swaps):
    ids = rows_of(*range(1, length + 1), length=40, rows=200)
    moved = (view(aug.RandomTokenSwap(swaps=0.1), ids) != ids).sum(1)
    assert moved.max() == 2 * swaps
    inserted = view(aug.RandomTokenInsertion({1: [99]}, insertions=0.1), ids)
    assert set((inserted == 99).sum(1)) == {min(swaps, 40 - length)}


def test_every_position_and_every_source_of_an_insertion_is_equally_likely():
    layer = aug.RandomTokenInsertion({3: [30], 4: [40]}, kept_ids=KEPT)
    inserted = view(layer, rows_of(1, 3, 4, 2))[:, :5]
    found = collections.Counter(map(tuple, inserted.tolist()))
    before = [(1, s, 3, 4, 2) for s in (30, 40)] + [(1, 3, s, 4, 2) for s in (30, 40)]
    assert set(found) == set(before)
    assert all(near(count / MANY, 1 / 4) for count in found.values())


def test_insertion_does_not_drop_tokens_of_a_full_row():
    ids = rows_of(1, 5, 6, 2, 3, 4, 5, 6, 7, 8)
    assert np.array_equal(view(aug.RandomTokenInsertion(TABLE), ids), ids)


def test_ids_outside_the_table_have_no_synonyms():
    ids = rows_of(-3, 4, 7, 1000, 2**31 - 1)
    assert np.array_equal(view(aug.RandomTokenReplacement(TABLE, rate=1), ids), ids)
    assert np.array_equal(view(aug.RandomTokenInsertion(TABLE), ids), ids)


def test_large_ids_are_exact():
    ids = rows_of(2**30 + 1, 2**30 + 3, 2**30 + 5)
    for layer in (aug.RandomTokenSwap(), aug.RandomTokenDeletion(0.3)):
        assert set(view(layer, ids).ravel().tolist()) == set(ids.ravel().tolist())


def test_a_draw_that_rounds_to_1_stays_below_the_count():
    counts = np.arange(6, dtype="int32")[:, None]
    found = to_numpy(draw_below(ops.ones((6, 1)), ops.convert_to_tensor(counts)))
    assert found.ravel().tolist() == [0, 0, 1, 2, 3, 4]


def test_padding_id_marks_the_padding():
    ids = rows_of(0, 5, 6, *[9] * 7)
    deleted = view(aug.RandomTokenDeletion(rate=1, padding_id=9), ids)
    assert np.all((deleted != 9).sum(1) == 1)
    assert np.all(deleted[:, 1:] == 9)
    masked = view(aug.RandomTokenMasking(7, rate=1, padding_id=9), ids)
    assert np.all(masked == [7, 7, 7, *[9] * 7])


def test_every_operation_is_equally_likely():
    layer = aug.EDATokenAugmenter(alpha=0.999, table=TABLE, mask_id=99)
    found = view(layer, rows_of(5, 6))
    chosen = {
        "masking": np.all(found[:, :2] == 99, axis=1),
        "replacement": np.all(found[:, :2] >= 50, axis=1) & np.all(found[:, :2] < 70, axis=1),
        "deletion": found[:, 1] == 0,
        "swap": np.all(found[:, :2] == (6, 5), axis=1),
        "insertion": found[:, 2] != 0,
    }
    assert np.sum(list(chosen.values())) >= 0.99 * MANY
    for rows in chosen.values():
        assert abs(rows.mean() - 0.2) < 0.01 + 5 * np.sqrt(0.2 * 0.8 / MANY)


def test_the_default_operations_are_those_whose_arguments_are_set():
    with_table = ("replacement", "insertion", "swap", "deletion")
    assert aug.EDATokenAugmenter().operations == ("swap", "deletion")
    assert aug.EDATokenAugmenter(mask_id=9).operations == ("swap", "deletion", "masking")
    assert aug.EDATokenAugmenter(table=TABLE).operations == with_table
    assert aug.EDATokenAugmenter(operations=["swap"]).operations == ("swap",)


def test_two_parts_of_an_augmenter_draw_independently():
    ids = rows_of(3, 4, 5, 6, 7, 8)
    layer, keys = aug.RandomTokenDeletion(0.5), row_keys(MANY)
    first, second = (
        to_numpy(layer.augment(ops.convert_to_tensor(ids), part_keys(keys, part)))
        for part in (0, 1)
    )
    # Two independent subsets of six tokens are equal with probability 1 / 64.
    assert near(np.all(first == second, axis=1).mean(), 1 / 64)


def test_a_dict_of_tokens_is_refused():
    x = {"token_ids": np.ones((2, 3), "int32"), "padding_mask": np.ones((2, 3), bool)}
    with pytest.raises(TypeError, match=r"a dict with token_ids, padding_mask.*token ids alone"):
        aug.RandomTokenMasking(mask_id=1)(x)
