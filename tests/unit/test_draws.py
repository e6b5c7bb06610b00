"""Draws follow their distributions, and are the same everywhere."""

import math

import numpy as np
import pytest
from keras import ops

from keras_contrastive._draws import gamma, hash_keys, uniform
from tests.helpers.backend import to_numpy

KEYS = [-1109896330, 1881203392, -1450074989]  # computed on PyTorch
DRAWS = [2.6694016456604004, 0.817855715751648, 0.2553354799747467]


def test_uniform_draws_are_uniform_in_every_quantile():
    keys = hash_keys(7, ops.arange(20000, dtype="int32"))
    found = np.sort(to_numpy(uniform(keys, 1))[:, 0])
    assert found[0] > 0
    assert found[-1] < 1
    assert np.abs(found - (np.arange(20000) + 0.5) / 20000).max() < 1.63 / math.sqrt(
        20000
    )  # Kolmogorov-Smirnov at 1 %


@pytest.mark.parametrize("draws", [1, 2, 8])
def test_draws_follow_the_gamma_distribution(draws):
    keys = hash_keys(1, ops.arange(20000, dtype="int32"))
    found = to_numpy(gamma(keys, draws, count=2, dtype="float32")).astype("float64")
    assert found.shape == (20000, 2)
    # Gamma(draws, 1) / draws: mean 1, variance 1 / draws, third central moment 2 / draws ** 2; 5 standard errors.
    assert found.mean() == pytest.approx(1, abs=5 / math.sqrt(40000 * draws))
    assert found.var() == pytest.approx(1 / draws, rel=0.07)
    assert ((found - 1) ** 3).mean() == pytest.approx(2 / draws**2, rel=0.3)
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.035
    assert abs(np.corrcoef(found[1:, 0], found[:-1, 0])[0, 1]) < 0.035


def test_one_draw_is_exponential_in_every_quantile():
    keys = hash_keys(7, ops.arange(20000, dtype="int32"))
    found = np.sort(to_numpy(gamma(keys, 1, count=1, dtype="float32"))[:, 0])
    distance = np.abs((1 - np.exp(-found)) - (np.arange(20000) + 0.5) / 20000).max()
    assert distance < 1.63 / math.sqrt(20000)  # Kolmogorov-Smirnov at 1 %


def test_draws_are_the_same_on_every_backend():
    keys = hash_keys(123, ops.convert_to_tensor(5, dtype="int32"), ops.arange(3, dtype="int32"))
    assert to_numpy(keys).tolist() == KEYS
    np.testing.assert_allclose(to_numpy(gamma(keys, 2, 1, "float32"))[:, 0], DRAWS, rtol=1e-6)


def test_draws_change_with_seed_step_and_item():
    ids = ops.arange(100, dtype="int32")
    step = ops.convert_to_tensor(3, dtype="int32")
    tables = [hash_keys(0, step, ids), hash_keys(1, step, ids), hash_keys(0, step + 1, ids)]
    keys = np.stack([to_numpy(table) for table in tables])
    assert len(np.unique(keys)) == 300


def test_no_draw_is_zero_or_one():
    keys = hash_keys(3, ops.arange(2**22, dtype="int32"))
    found = to_numpy(uniform(keys, 12))  # 50 million draws, of which three would round to 1
    assert found.min() > 0
    assert found.max() < 1
