"""The typed code of a user runs."""

import numpy as np
import pytest

from tests.house.user_code import main


@pytest.mark.slow_to_compile
def test_the_typed_example_trains_and_evaluates():
    scores = main()
    assert len(scores) == 3
    assert all(np.isfinite(list(numbers.values())).all() for numbers in scores)
