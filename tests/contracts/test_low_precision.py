"""Losses under mixed precision, and with products in TF32, against references in float64."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.metrics import RecallAtK
from tests.contracts.loss_cases import EVERY
from tests.helpers import embeddings
from tests.helpers.backend import FASTEST, to_numpy, value_and_gradients

every_variant = pytest.mark.parametrize("case", EVERY.values(), ids=EVERY.keys())
IDS = [*range(20), *range(20)]  # some rows have equal ids
TEMPERATURE = 0.1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@every_variant
def test_sums_are_in_float32_under_mixed_precision(case, dtype):
    keras.config.set_dtype_policy(f"mixed_{dtype}")
    rounded = [to_numpy(ops.cast(ops.cast(z, dtype), "float32")) for z in embeddings(rows=40)]
    loss = case.make(temperature=TEMPERATURE)

    def evaluate(a, b):
        return loss(np.array(IDS), (ops.cast(a, dtype), ops.cast(b, dtype)))

    value, found = value_and_gradients(evaluate, *rounded, **FASTEST)
    # A sum in bfloat16 errs by 4e-3, and one in float16 by 5e-4.
    expected = case.value(rounded, IDS, TEMPERATURE).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    # Only the finished gradient is rounded.
    exact = value_and_gradients(lambda a, b: loss(np.array(IDS), (a, b)), *rounded, **FASTEST)[1]
    bits = {"bfloat16": 8, "float16": 11}[dtype]
    np.testing.assert_allclose(found, exact, rtol=2.0**-bits, atol=1e-6)


@every_variant
def test_products_in_tf32_change_the_fourth_digit_at_most(case, monkeypatch):
    exact = ops.matmul
    monkeypatch.setattr(ops, "matmul", lambda a, b: exact(_in_tf32(a), _in_tf32(b)))
    z = embeddings(rows=40)
    expected = case.value(z, IDS, TEMPERATURE).mean()
    value = float(case.make(temperature=TEMPERATURE)(np.array(IDS), z))
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_equal_rows_are_ties_with_products_in_tf32(monkeypatch):
    exact = ops.matmul
    monkeypatch.setattr(ops, "matmul", lambda a, b: exact(_in_tf32(a), _in_tf32(b)))
    for row in embeddings(rows=8)[0]:
        rows = ops.convert_to_tensor(np.tile(row, (6, 1)))
        metric = RecallAtK(1)
        metric.update_state(None, [rows, rows])
        assert float(metric.result()) == 0.0


def _in_tf32(x):
    """Rounds to 11 significant bits, as TF32 units round the factors of a product."""
    many = x * (2**13 + 1)
    return many - (many - x)


def test_tf32_has_eleven_bits():
    x = ops.convert_to_tensor([1 + 2.0**-10, 1 + 2.0**-12, 3.0])
    np.testing.assert_array_equal(to_numpy(_in_tf32(x)), [1 + 2.0**-10, 1, 3])
