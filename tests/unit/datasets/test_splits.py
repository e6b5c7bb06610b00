"""Splits of families."""

import hashlib

import numpy as np
import pytest

from keras_contrastive.datasets import SPLITS, split_families

FAMILIES = [f"family {i}" for i in range(2000)]


def test_the_splits_have_70_10_and_20_percent_of_the_families():
    split = split_families(FAMILIES)
    # Four standard errors of a fraction of 2,000 are at most 0.041.
    for name, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
        assert np.mean(split == name) == pytest.approx(share, abs=0.041)
    assert set(split) == set(SPLITS)


def test_the_split_of_a_family_depends_only_on_its_name():
    families = FAMILIES[:50]
    split = split_families(families)
    np.testing.assert_array_equal(split_families(np.array(families[::-1] * 2)), [*split[::-1]] * 2)
    for family, found in zip(families, split, strict=True):
        number = int(hashlib.sha256(family.encode()).hexdigest()[:8], 16) / 16**8
        assert found == ("train" if number < 0.7 else "validation" if number < 0.8 else "test")


def test_each_family_is_in_the_test_split_of_one_fold():
    folds = np.array([split_families(FAMILIES, fold) for fold in range(5)])
    assert ((folds == "test").sum(axis=0) == 1).all()
    for split in folds:
        for name, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
            assert np.mean(split == name) == pytest.approx(share, abs=0.041)


@pytest.mark.parametrize(("fold", "error"), [(5, ValueError), (-1, ValueError), (1.0, TypeError)])
def test_an_unknown_fold_raises(fold, error):
    with pytest.raises(error, match=r"`fold` must be an integer.* Received: fold="):
        split_families(FAMILIES, fold)
