"""Draws follow their distributions and are equal on every backend."""

import math

import numpy as np
import pytest
from keras import ops

from keras_contrastive._draws import as_seed, gamma, hash_embeddings, hash_keys, uniform
from tests.helpers.backend import to_numpy
from tests.reference import draws as reference

ROWS = 20000
# Critical value of the Kolmogorov-Smirnov test at 1 %.
LARGEST_DISTANCE = 1.63 / math.sqrt(ROWS)


def row_keys(seed, *counters):
    return hash_keys(seed, *counters, ops.arange(ROWS, dtype="int32"))


def as_int32(x):
    return (x + 2**31) % 2**32 - 2**31


def distance_to_uniform(values):
    return np.abs(np.sort(values) - (np.arange(len(values)) + 0.5) / len(values)).max()


@pytest.mark.parametrize("seed", [0, 123, -5, 2**31 - 1, 2**40 + 1])
def test_keys_and_draws_equal_the_reference_on_every_backend(seed):
    step, rows = 5, [0, 1, 2, 2**31 - 1, -7]
    keys = hash_keys(
        seed,
        ops.convert_to_tensor(step, dtype="int32"),
        ops.convert_to_tensor(rows, dtype="int32"),
    )
    expected = [reference.key(seed, step, row) for row in rows]
    assert to_numpy(keys).tolist() == [as_int32(key) for key in expected]
    draws = [[reference.uniform(key, number) for number in range(6)] for key in expected]
    # float32 rounds a number of 25 bits. All operations on it are exact.
    np.testing.assert_array_equal(to_numpy(uniform(keys, 6)), np.array(draws, "float32"))


def test_gamma_draws_are_means_of_exponential_draws():
    keys = hash_keys(3, ops.arange(4, dtype="int32"))
    expected = [
        [np.mean([-math.log(reference.uniform(k, 3 * i + j)) for j in range(3)]) for i in range(2)]
        for k in (reference.key(3, row) for row in range(4))
    ]
    np.testing.assert_allclose(to_numpy(gamma(keys, 3, count=2)), expected, rtol=1e-6)


def test_extreme_bits_give_draws_above_0_and_below_1():
    keys = [as_int32(reference.unmix(bits) - reference.GOLDEN) for bits in (0, 2**32 - 1)]
    draws = to_numpy(uniform(ops.convert_to_tensor(keys, dtype="int32"), 1))
    assert draws.ravel().tolist() == [2**-25, 1 - 2**-24]


def test_uniform_draws_follow_the_uniform_distribution():
    draws = to_numpy(uniform(row_keys(7), 2))
    assert distance_to_uniform(draws[:, 0]) < LARGEST_DISTANCE
    assert distance_to_uniform(draws[:, 1]) < LARGEST_DISTANCE
    assert abs(np.corrcoef(draws.T)[0, 1]) < 5 / math.sqrt(ROWS)


@pytest.mark.parametrize("draws", [1, 2, 8])
def test_gamma_draws_follow_the_gamma_distribution(draws):
    sample = to_numpy(gamma(row_keys(1), draws, count=2)).astype("float64")
    assert sample.shape == (ROWS, 2)
    # Gamma(draws, 1) / draws has mean 1, variance 1 / draws and third central moment 2 / draws**2.
    # Tolerances are 5 standard errors.
    assert sample.mean() == pytest.approx(1, abs=5 / math.sqrt(2 * ROWS * draws))
    assert sample.var() == pytest.approx(1 / draws, rel=0.07)
    assert ((sample - 1) ** 3).mean() == pytest.approx(2 / draws**2, rel=0.3)
    assert abs(np.corrcoef(sample.T)[0, 1]) < 0.035
    assert abs(np.corrcoef(sample[1:, 0], sample[:-1, 0])[0, 1]) < 0.035
    if draws == 1:
        assert distance_to_uniform(1 - np.exp(-sample[:, 0])) < LARGEST_DISTANCE


def test_keys_differ_between_seeds_steps_and_rows():
    step = ops.convert_to_tensor(3, dtype="int32")
    keys = [row_keys(0, step), row_keys(1, step), row_keys(0, step + 1)]
    unique = len(np.unique(np.stack([to_numpy(each) for each in keys])))
    # 60,000 keys out of 2**32: less than one collision is expected.
    assert unique >= 3 * ROWS - 5


def test_one_changed_bit_changes_the_hash_of_an_embedding():
    embeddings = np.zeros((3, 4), "float32")
    embeddings[1, 2] = np.float32(1e-45)
    first, changed, again = to_numpy(hash_embeddings(ops.convert_to_tensor(embeddings))).tolist()
    assert first == again != changed


@pytest.mark.parametrize("seed", [1.5, "1", True])
def test_a_seed_that_is_not_an_integer_raises(seed):
    with pytest.raises(TypeError, match=r"`seed` must be an integer\. Received: seed="):
        as_seed(seed)
