"""Edits of token ids do what they are named for, and nothing else."""

import collections

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from keras import ops

from keras_contrastive import augmentation as aug
from keras_contrastive.augmentation._token_augmenter import draw_below
from tests.contracts.augmenter_cases import TABLE, TOKEN_LAYERS, row_keys
from tests.helpers.backend import to_numpy

LENGTH = 10
KEPT = (1, 2)
EVERY = {name: make(kept_ids=KEPT) for name, make in TOKEN_LAYERS.items()}
MANY = 4000


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


@pytest.mark.parametrize("name", EVERY)
@hypothesis.given(ids=padded_rows(), seed=seeds)
def test_padding_stays_at_the_end_and_kept_tokens_stay_in_order(name, ids, seed):
    for before, after in zip(ids, view(EVERY[name], ids, seed), strict=True):
        assert np.all(np.diff((after == 0).astype(int)) >= 0)
        kept = [[token for token in row.tolist() if token in KEPT] for row in (before, after)]
        assert kept[0] == kept[1]
        assert bool(tokens_of(after)) == bool(tokens_of(before))
        if not set(before.tolist()) - {0, *KEPT}:
            assert np.array_equal(before, after)


@hypothesis.given(ids=padded_rows(), seed=seeds)
def test_deletion_leaves_a_subsequence_with_at_least_one_token_of_those_at_risk(ids, seed):
    for layer in (EVERY["deletion"], aug.RandomTokenDeletion(rate=1, kept_ids=KEPT)):
        for before, after in zip(ids, view(layer, ids, seed), strict=True):
            assert is_subsequence(tokens_of(after), tokens_of(before))
            at_risk = [
                sum(token not in KEPT for token in tokens_of(row)) for row in (before, after)
            ]
            assert at_risk[1] >= min(at_risk[0], 1)
            if layer.rate == 1:
                assert at_risk[1] == min(at_risk[0], 1)


@hypothesis.given(ids=padded_rows(), seed=seeds)
def test_swaps_keep_the_bag_of_tokens_and_the_places_of_the_kept(ids, seed):
    for before, after in zip(ids, view(EVERY["swap"], ids, seed), strict=True):
        assert collections.Counter(before.tolist()) == collections.Counter(after.tolist())
        fixed = np.isin(before, (0, *KEPT))
        assert np.array_equal(before[fixed], after[fixed])


@hypothesis.given(ids=padded_rows(), seed=seeds)
def test_insertion_only_adds_synonyms_of_the_row(ids, seed):
    for before, after in zip(ids, view(EVERY["insertion"], ids, seed), strict=True):
        before, after = tokens_of(before), tokens_of(after)
        assert is_subsequence(before, after)
        added = collections.Counter(after) - collections.Counter(before)
        assert set(added) <= {synonym for token in before for synonym in TABLE.get(token, ())}
        room = LENGTH - len(before)
        assert sum(added.values()) == (min(2, room) if set(before) & set(TABLE) else 0)


@hypothesis.given(ids=padded_rows(), seed=seeds)
def test_replacement_and_masking_change_tokens_in_their_places(ids, seed):
    replaced, masked = view(EVERY["replacement"], ids, seed), view(EVERY["masking"], ids, seed)
    for before, after in zip(
        ids[replaced != ids].tolist(), replaced[replaced != ids].tolist(), strict=True
    ):
        assert after in TABLE[before]
    assert np.all(masked[masked != ids] == 99)


def rows_of(*tokens):
    return np.tile(np.array([tokens], "int32"), (MANY, 1))


def near(share, probability, number=MANY):
    return abs(share - probability) < 5 * np.sqrt(probability * (1 - probability) / number)


def test_rates_are_those_that_were_asked_for():
    ids = rows_of(1, 3, 4, 5, 6, 2, 0)
    masked = view(aug.RandomTokenMasking(99, rate=0.15, kept_ids=KEPT), ids) == 99
    assert near(masked[:, 1:5].mean(), 0.15, 4 * MANY)
    replaced = view(aug.RandomTokenReplacement(TABLE, rate=0.3), ids)
    assert near((replaced[:, 3:5] != ids[:, 3:5]).mean(), 0.3, 2 * MANY)
    chosen = replaced[:, 3][replaced[:, 3] != 5]
    assert near((chosen == 50).mean(), 0.5, len(chosen))
    left = (view(aug.RandomTokenDeletion(rate=0.2, kept_ids=KEPT), ids) != 0).sum(1)
    assert near(
        (left - 2).mean() / 4, 0.8 + 0.2**4 / 4, 4 * MANY
    )  # of four deleted, one comes back


def test_a_rate_of_zero_changes_nothing_and_a_rate_of_one_everything():
    ids = rows_of(5, 6, 6, 0)
    for layer in (
        aug.RandomTokenDeletion(0),
        aug.RandomTokenMasking(99, 0),
        aug.RandomTokenReplacement(TABLE, 0),
    ):
        assert np.array_equal(view(layer, ids), ids)
    assert np.all(view(aug.RandomTokenMasking(99, 1), ids)[:, :3] == 99)
    assert np.all(view(aug.RandomTokenReplacement(TABLE, 1), ids)[:, :3] >= 50)


def test_two_tokens_are_always_exchanged_and_each_pair_equally_often():
    ids = rows_of(3, 1, 4, 5, 0)
    swapped = view(aug.RandomTokenSwap(kept_ids=(1,)), ids)
    found = collections.Counter(map(tuple, swapped.tolist()))
    assert set(found) == {(4, 1, 3, 5, 0), (5, 1, 4, 3, 0), (3, 1, 5, 4, 0)}
    assert all(near(count / MANY, 1 / 3) for count in found.values())


@pytest.mark.parametrize(("length", "swaps"), [(2, 1), (10, 1), (20, 2), (39, 3)])
def test_a_share_is_of_the_rows_own_tokens_and_at_least_one(length, swaps):
    ids = np.zeros((MANY, 40), "int32")
    ids[:, :length] = np.arange(1, length + 1)
    moved = (view(aug.RandomTokenSwap(swaps=0.1), ids) != ids).sum(1)
    assert moved.max() == 2 * swaps
    inserted = view(aug.RandomTokenInsertion({1: [99]}, insertions=0.1), ids)
    assert set((inserted == 99).sum(1)) == {min(swaps, 40 - length)}


def test_each_place_and_each_source_of_an_insertion_is_equally_likely():
    inserted = view(
        aug.RandomTokenInsertion({3: [30], 4: [40]}, kept_ids=KEPT), rows_of(1, 3, 4, 2, 0)
    )
    found = collections.Counter(map(tuple, inserted.tolist()))
    before = [(1, s, 3, 4, 2) for s in (30, 40)] + [(1, 3, s, 4, 2) for s in (30, 40)]
    assert set(found) == set(before)
    assert all(near(count / MANY, 1 / 4) for count in found.values())


def test_nothing_falls_off_a_full_row():
    ids = rows_of(1, 5, 6, 2)
    assert np.array_equal(view(aug.RandomTokenInsertion(TABLE), ids), ids)


def test_ids_that_the_table_does_not_know_have_no_synonyms():
    ids = np.array([[-3, 4, 7, 1000, 2**31 - 1, 0]], "int32")
    assert np.array_equal(view(aug.RandomTokenReplacement(TABLE, rate=1), ids), ids)
    assert np.array_equal(view(aug.RandomTokenInsertion(TABLE), ids), ids)


def test_large_ids_are_not_rounded():
    ids = rows_of(2**30 + 1, 2**30 + 3, 2**30 + 5, 0)
    for layer in (aug.RandomTokenSwap(), aug.RandomTokenDeletion(0.3)):
        assert set(view(layer, ids).ravel().tolist()) == set(ids.ravel().tolist())


def test_a_draw_that_rounds_to_one_is_still_below_the_count():
    counts = np.arange(6, dtype="int32")[:, None]
    found = to_numpy(draw_below(ops.ones((6, 1)), ops.convert_to_tensor(counts)))
    assert found.ravel().tolist() == [0, 0, 1, 2, 3, 4]


def test_another_padding_id_is_respected():
    ids = np.array([[0, 5, 6, 9, 9]], "int32")
    deleted = view(aug.RandomTokenDeletion(rate=1, padding_id=9), ids)[0]
    assert (deleted != 9).sum() == 1
    assert np.all(deleted[1:] == 9)
    assert np.array_equal(
        view(aug.RandomTokenMasking(7, rate=1, padding_id=9), ids), [[7, 7, 7, 9, 9]]
    )


def test_each_operation_is_chosen_equally_often():
    layer = aug.EDATokenAugmenter(alpha=0.999, table=TABLE, mask_id=99)
    ids = rows_of(5, 6, 0, 0)
    found = view(layer, ids)
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


def test_operations_are_all_for_which_there_is_what_they_need():
    assert aug.EDATokenAugmenter().operations == ("swap", "deletion")
    assert aug.EDATokenAugmenter(mask_id=9).operations == ("swap", "deletion", "masking")
    assert aug.EDATokenAugmenter(table=TABLE).operations == (
        "replacement",
        "insertion",
        "swap",
        "deletion",
    )
    assert aug.EDATokenAugmenter(operations=["swap"]).operations == ("swap",)


def test_two_parts_of_a_composite_do_not_draw_alike():
    ids = rows_of(3, 4, 5, 6, 7, 8)
    keys = row_keys(MANY)
    parts = [aug._base.keys_of_part(keys, place) for place in (0, 1)]
    layer = aug.RandomTokenDeletion(0.5)
    first, second = (to_numpy(layer.augment(ops.convert_to_tensor(ids), part)) for part in parts)
    # Two independent subsets of six tokens agree in one of 64.
    assert near(np.all(first == second, axis=1).mean(), 1 / 64)
