"""The typed code of a user runs."""

import numpy as np

from tests.house.user_code import main


def test_the_typed_example_trains_and_evaluates():
    scores = main()
    assert len(scores) == 3
    assert all(np.isfinite(list(numbers.values())).all() for numbers in scores)
