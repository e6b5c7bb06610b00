import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import Batch, normalize
from keras_contrastive._replicas import Replicas
from keras_contrastive.losses import InfoNCE
from tests.helpers.backend import compiled, gradients
from tests.reference.differences import numeric_gradient

DIRECTION = np.array([3.0, -4.0, 12.0]) / 13.0


def normalized(x, dtype="float32"):
    return ops.convert_to_numpy(
        ops.cast(normalize(ops.cast(np.asarray(x, "float32"), dtype)), "float32")
    )


@pytest.mark.parametrize("length", [1e-10, 1e-3, 1.0, 1e3, 1e10, 1e19, 1e30, 1e38])
def test_length_does_not_matter(length):
    np.testing.assert_allclose(normalized([length * DIRECTION]), [DIRECTION], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_kept(rng, dtype):
    x = rng.normal(size=(5, 8)).astype("float32")
    z = normalize(ops.cast(x, dtype))
    assert keras.backend.standardize_dtype(z.dtype) == dtype
    np.testing.assert_allclose(
        normalized(x, dtype), x / np.linalg.norm(x, axis=1, keepdims=True), atol=1e-2
    )


@pytest.mark.parametrize("length", [1e-3, 200.0, 6e4])
def test_float16_neither_overflows_nor_vanishes(length):
    # The square of 300 is more than float16 can hold, that of 1e-4 less.
    np.testing.assert_allclose(normalized([length * DIRECTION], "float16"), [DIRECTION], rtol=4e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_losses_cast_half_precision_before_they_normalize(rng, dtype):
    halves = [ops.cast(rng.normal(size=(4, 3)).astype("float32"), dtype) for _ in range(2)]
    singles = [ops.cast(half, "float32") for half in halves]
    value = InfoNCE()(None, halves)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert float(value) == float(InfoNCE()(None, singles))


def test_zero_rows_stay_zero_among_others():
    np.testing.assert_allclose(
        normalized([[0, 0, 0], 5 * DIRECTION]), [[0, 0, 0], DIRECTION], rtol=1e-6
    )


def test_tiny_rows_become_almost_zero():
    assert np.abs(normalized([[1e-30, 2e-30]])).max() < 1e-12


def test_one_hot_rows_are_unchanged():
    np.testing.assert_allclose(normalized(np.eye(4)), np.eye(4), rtol=1e-6)
    np.testing.assert_allclose(normalized(-7 * np.eye(4)), -np.eye(4), rtol=1e-6)


def test_only_the_last_axis_is_a_row(rng):
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_allclose(np.linalg.norm(normalized(x), axis=-1), np.ones((2, 3)), rtol=1e-6)


def weighted(x, weights):
    return ops.sum(normalize(x) * ops.convert_to_tensor(weights))


@pytest.mark.parametrize("length", [1e-6, 1.0, 1e6, 1e30])
def test_gradient_equals_float64_differences_for_any_length(rng, length):
    direction, weights = rng.normal(size=(2, 3, 4))
    (found,) = gradients(
        lambda x: weighted(x, weights.astype("float32")), (length * direction).astype("float32")
    )
    expected = numeric_gradient(
        lambda x: np.sum(x / np.linalg.norm(x, axis=1, keepdims=True) * weights), direction
    )
    np.testing.assert_allclose(found * np.float32(length), expected, rtol=1e-4, atol=1e-5)


def test_gradient_of_one_hot_rows_equals_float64_differences(rng):
    weights = rng.normal(size=(4, 4))
    (found,) = gradients(
        lambda x: weighted(x, weights.astype("float32")), np.eye(4, dtype="float32")
    )
    expected = numeric_gradient(
        lambda x: np.sum(x / np.linalg.norm(x, axis=1, keepdims=True) * weights), np.eye(4)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_gradient_of_a_zero_row_is_of_ordinary_size():
    weights = np.array([[1.0, -2.0, 0.5]], "float32")
    (found,) = gradients(lambda x: weighted(x, weights), np.zeros((1, 3), "float32"))
    np.testing.assert_allclose(found, np.sqrt(2) * weights, rtol=1e-6)


@pytest.mark.parametrize("length", [0.0, 1e-38, 1e-30, 1e-13, 1e38])
def test_gradient_is_finite_and_moderate_at_extreme_lengths(length):
    (found,) = gradients(
        lambda x: weighted(x, np.ones((1, 3), "float32")),
        (length * DIRECTION[None]).astype("float32"),
    )
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 10


@pytest.mark.parametrize("length", [1e-10, 1.0, 1e38])
def test_compiled_equals_eager(length):
    x = ops.convert_to_tensor((length * DIRECTION[None]).astype("float32"))
    np.testing.assert_allclose(ops.convert_to_numpy(compiled(normalize)(x)), [DIRECTION], rtol=1e-6)


def test_a_replica_without_rows_gathers_as_often_as_the_others():
    # A batch gathers each tensor once. Replicas with another number of gathers wait forever.
    gathered = []
    replicas = Replicas(0, 0, 1.0, lambda x: gathered.append(x) or x, lambda x: x)
    batch = Batch({"a": ops.zeros((0, 4))}, replicas=replicas)
    batch.gather(batch.views["a"])
    batch.gather(batch.unit().views["a"])
    assert len(gathered) == 2
