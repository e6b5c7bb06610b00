"""Batches of one tile: second derivatives and operations of the plain formula."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive.config import set_tile_shape
from tests.contracts.loss_cases import EVERY
from tests.helpers import normal
from tests.helpers.backend import second_derivative, tensor_sizes

TEMPERATURE = 0.5
ROWS = 8


def logits(a, b):
    a, b = (x * ops.rsqrt(ops.sum(ops.square(x), axis=1, keepdims=True)) for x in (a, b))
    return ops.matmul(a, ops.transpose(b)) / TEMPERATURE


def hidden(x, same):
    return ops.where(ops.convert_to_tensor(same), -1e30, x)


def info_nce(a, b):
    x = logits(a, b)
    both = ops.logsumexp(x, axis=1) + ops.logsumexp(x, axis=0)
    return ops.mean(both / 2 - ops.diagonal(x))


def of_all_views(a, b, same):
    z = ops.concatenate([a, b])
    x = logits(z, z)
    pairs = ops.concatenate([ops.diagonal(x, offset=ROWS), ops.diagonal(x, offset=-ROWS)])
    return ops.mean(ops.logsumexp(hidden(x, same), axis=1) - pairs)


def nt_xent(a, b):
    return of_all_views(a, b, np.eye(2 * ROWS, dtype="bool"))


def decoupled(a, b):
    return of_all_views(a, b, np.tile(np.eye(ROWS, dtype="bool"), (2, 2)))


def sigmoid(a, b):
    x, signs = logits(a, b) - 10.0, 2 * np.eye(ROWS, dtype="float32") - 1
    return ops.mean(ops.sum(ops.softplus(-ops.convert_to_tensor(signs) * x), axis=1))


FORMULAS = {
    "InfoNCE": info_nce,
    "NTXent": nt_xent,
    "DecoupledContrastive": decoupled,
    "SigmoidContrastive": sigmoid,
}


def function_of(name):
    loss = EVERY[name].make(temperature=TEMPERATURE)
    return lambda a, b: loss(None, (a, b))


@pytest.mark.parametrize("name", FORMULAS)
def test_second_derivatives_are_those_of_the_formula(name):
    set_tile_shape(None)
    a, step, b = (ops.convert_to_tensor(x) for x in normal(3, ROWS, 3))
    found, expected = (
        second_derivative(lambda t, f=f: f(a + t * step, b), np.float32(0.1))
        for f in (function_of(name), FORMULAS[name])
    )
    assert found == pytest.approx(expected, rel=1e-4)


def test_info_nce_takes_few_operations_more_than_the_formula():
    # Each operation takes PyTorch some microseconds, as long as its computation for 64 rows. The
    # two extra arrays of a row's largest entry, for rows of any length, are among them.
    set_tile_shape(None)
    inputs = normal(2, ROWS, 3)
    ours, formula = (
        len(tensor_sizes(f, *inputs)) for f in (function_of("InfoNCE"), FORMULAS["InfoNCE"])
    )
    assert ours <= 1.6 * formula


def test_sums_share_the_logits_of_one_tile(monkeypatch):
    # The jackknife sums over the logits three times, in both directions.
    set_tile_shape(None)
    shapes = []
    matmul = ops.matmul

    def recorded(a, b):
        shapes.append((a.shape[0], b.shape[-1]))
        return matmul(a, b)

    monkeypatch.setattr(ops, "matmul", recorded)
    function_of("GammaContrastive")(*map(ops.convert_to_tensor, normal(2, ROWS, 3)))
    assert shapes == [(ROWS, ROWS)]
