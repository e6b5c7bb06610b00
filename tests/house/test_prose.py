"""The check of the lint environment finds banned phrases."""

import pytest

from tests.house.prose import violations


@pytest.mark.parametrize(
    "source",
    [
        '"""What a loss needs."""',
        '"""Computes a loss (P2-13)."""',
        "# The loss is told the ids.",
        'raise ValueError("There is nobody in the batch.")',
    ],
)
def test_a_banned_phrase_is_found(source):
    assert len(violations(source)) == 1


def test_the_line_of_a_phrase_is_reported():
    assert violations('x = 1\n\ny = """\n\nnobody"""')[0][0] == 5


def test_plain_english_passes():
    assert violations('"""Computes the loss of each row."""\n# Ids are int32.') == []
