"""Every test starts from the same seeds, under the same policy, with the same hypothesis profile."""

import hypothesis
import keras
import numpy as np
import pytest

from tests.helpers.backend import forget_compiled

hypothesis.settings.register_profile("here", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("here")


@pytest.fixture(autouse=True)
def _same_start():
    keras.utils.clear_session(
        free_memory=False
    )  # whose garbage collection took longer than most tests
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="module")
def _small_memory():
    yield
    forget_compiled()


@pytest.fixture
def rng():
    return np.random.default_rng(0)
