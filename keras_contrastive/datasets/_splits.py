"""Splits by a hash of families: relatives are always in one split."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array

SPLITS = ("train", "validation", "test")
_FOLDS = 5


def split_families(families: Iterable[Any], fold: int = 0) -> Array:
    """Assigns each family to a split: about 70 % train, 10 % validation and 20 % test.

    The split is a hash of the name of the family. It does not depend on the other families, on
    their order or on a version of a package. The loaders use fold 0. The test splits of the five
    folds have no family in common and hold all families together: use them for cross-validation.

    Args:
        families: Names of families, `(items,)`.
        fold: Integer from 0 to 4.

    Returns:
        `(items,)`, `"train"`, `"validation"` or `"test"`.

    Raises:
        TypeError: If `fold` is not an integer.
        ValueError: If `fold` is not from 0 to 4.

    Example:

    >>> split_families(["arrow", "house", "arrow"]).tolist()
    ['train', 'test', 'train']
    """
    if not 0 <= _checks.integer("fold", fold) < _FOLDS:
        raise ValueError(f"`fold` must be an integer from 0 to 4. Received: fold={fold}.")
    split_of = dict.fromkeys(np.asarray(families).tolist(), "")
    for family in split_of:
        number = int.from_bytes(hashlib.sha256(str(family).encode()).digest()[:4], "big")
        tenth = ((number * 10 >> 32) + 2 * fold) % 10
        split_of[family] = SPLITS[0] if tenth < 7 else SPLITS[1] if tenth < 8 else SPLITS[2]
    return np.array([split_of[family] for family in np.asarray(families).tolist()])
