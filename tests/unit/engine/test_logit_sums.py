"""Sums over tiles: values and gradients of one tile, in memory that does not grow with batch²."""

import itertools

import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import logit_terms
from keras_contrastive._engine.logit_sums import logit_sums
from keras_contrastive._engine.pair_masks import PairMasks
from keras_contrastive.config import set_tile_shape
from tests.contracts.loss_cases import EVERY, LOSSES
from tests.helpers import normal
from tests.helpers.backend import (
    FASTEST,
    compiled,
    gradients,
    largest_tensor,
    second_derivative,
    to_numpy,
    value_and_gradients,
)

TERMS = [
    logit_terms.LogSumExp,
    logit_terms.LogComplements,
    logit_terms.NegativeEntropy,
    logit_terms.PositiveSoftplus,
    logit_terms.positive_polynomial((0.5, -1.0, 2.0)),
    logit_terms.SigmoidCrossEntropy,
]
TILES = [(4, 3), (1, 100)]  # rows and columns that remain, or neither
WHOLE = (10**4, 10**4)


def masks_of(rows, columns, itself, seed=1):
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, 4, rows).astype("int32")
    others = ids if itself else generator.integers(0, 4, columns).astype("int32")
    positions = np.arange(rows, dtype="int32"), np.where(others == 0, 0, -1).astype("int32")
    positions = (
        (positions[0], positions[0]) if itself else (np.zeros_like(positions[0]), positions[1])
    )
    return PairMasks((ids, others), positions)


def weighted_sum(terms, rows, columns, itself, two_sided, references, limited=False):
    """A scalar function of all that the sums depend on, and its inputs."""
    masks = masks_of(rows, columns, itself)
    pairs = [tuple(map(ops.convert_to_tensor, pair)) for pair in (masks.ids, masks.positions)]
    limits = [ops.convert_to_tensor(normal(size, seed=5)) for size in (rows, columns)]
    masks = PairMasks(*pairs, limits=tuple(limits) if limited else (None, None))
    paired = rows == columns and not itself
    weights = [ops.convert_to_tensor(normal(size, seed=7 + size)) for size in (rows, columns, rows)]

    def function(a, b, scale, row_reference, column_reference):
        sums = logit_sums(
            terms,
            a,
            None if itself else b,
            scale,
            masks,
            row_reference if references else None,
            column_reference if references == 2 else None,
            two_sided,
            paired,
        )
        total = 0.0
        for part, weight in zip(sums, weights, strict=True):
            if part is not None:
                total += ops.sum(weight * ops.where(part > -1e30, part, ops.zeros_like(part)))
        return total

    return function, (
        normal(rows, 5),
        normal(columns, 5, seed=2),
        np.float32(1.7),
        5 + normal(rows),
        5 + normal(columns),
    )


CASES = [
    (terms, size, itself, two_sided, references)
    for terms, size, itself, two_sided, references in itertools.product(
        TERMS, [(13, 13), (9, 14)], [False, True], [False, True], [0, 1, 2]
    )
    if not (itself and (two_sided or size[0] != size[1]))
    and (references == 0) == (terms is logit_terms.LogSumExp)
    and not (references == 2 and not two_sided)
    and not (references == 1 and two_sided and size[0] != size[1])
] + [
    (terms, (13, 13), itself, not itself, references, True)
    for terms, references in ((logit_terms.LogSumExp, 0), (logit_terms.LogComplements, 2))
    for itself in (False, True)
]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case[0].__name__}-{'-'.join(map(str, case[1:]))}"
)
def test_tiles_have_the_value_and_gradients_of_one_tile(case):
    function, inputs = weighted_sum(case[0], *case[1], *case[2:])
    set_tile_shape(WHOLE)
    value, expected = value_and_gradients(function, *inputs, **FASTEST)
    for shape in TILES:
        set_tile_shape(shape)
        found_value, found = value_and_gradients(function, *inputs, **FASTEST)
        assert found_value == pytest.approx(value, rel=1e-4, abs=1e-4)
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["InfoNCE", "NTXent", "SigmoidContrastive", "GammaContrastive", "SupCon", "Triplet"]
)
def test_compiled_tiles_accept_batches_of_any_size(name):
    loss = LOSSES[name].make(temperature=0.2, reduction=None)
    evaluate = compiled(lambda a, b: loss(None, (a, b)))
    for rows in (1, 4, 7, 12, 13):
        z = normal(2, rows, 3)
        set_tile_shape((4, 3))
        found = to_numpy(evaluate(*map(ops.convert_to_tensor, z)))
        set_tile_shape(WHOLE)
        np.testing.assert_allclose(found, to_numpy(loss(None, list(z))), rtol=1e-4, atol=1e-5)


def plain(a, b):
    """InfoNCE written with the whole matrix of logits."""
    logits = ops.matmul(a, ops.transpose(b)) * 10
    return (
        ops.mean(
            ops.logsumexp(logits, axis=1) + ops.logsumexp(logits, axis=0) - 2 * ops.diagonal(logits)
        )
        / 2
    )


def test_the_plain_formula_stores_the_logits():
    assert largest_tensor(plain, *normal(2, 300, 4)) >= 300**2


@pytest.mark.parametrize(
    "with_ids",
    [
        pytest.param(False, id="all differ"),
        pytest.param(True, id="ids", marks=pytest.mark.slow_to_compile),
    ],
)
@pytest.mark.parametrize("case", EVERY.values(), ids=EVERY.keys())
def test_no_loss_stores_the_logits(case, with_ids):
    set_tile_shape((64, 32))
    ids = np.arange(300, dtype="int32") // 2 if with_ids else None
    loss = case.make(temperature=0.1)
    largest = largest_tensor(lambda a, b: loss(ids, (a, b)), *normal(2, 300, 4))
    # The rows of all views, or a block of some vectors; the logits would be 90,000.
    assert largest <= 2 * 300 * (4 + 2)


@pytest.mark.parametrize("name", ["InfoNCE", "SigmoidContrastive", "NTXent"])
def test_labels_store_no_logits(name):
    set_tile_shape((32, 16))
    labels = np.arange(300, dtype="int32") % 7
    loss = LOSSES[name].make(temperature=0.1)
    assert largest_tensor(lambda z: loss(labels, z), normal(300, 4)) <= 2 * 300 * (4 + 2)


@pytest.mark.parametrize("scale", [0.1, 14.3, 100.0, 1000.0])
@pytest.mark.parametrize("rows", ["random", "aligned", "opposed"])
def test_sums_are_right_for_any_scale(scale, rows):
    a = normal(40, 6)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b = {"random": normal(40, 6, seed=3), "aligned": a, "opposed": -a}[rows]
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    ids = ops.arange(40, dtype="int32")

    def total(a, b, scale):
        sums = logit_sums(logit_terms.LogSumExp, a, b, scale, PairMasks((ids, ids)), two_sided=True)
        return ops.sum(sums[0]) + ops.sum(sums[1])

    set_tile_shape((16, 7))
    value, found = value_and_gradients(total, a, b, np.float32(scale))
    logits = a.astype("float64") @ b.T.astype("float64") * scale
    np.fill_diagonal(logits, -np.inf)
    shares = []
    expected = 0.0
    for axis in (0, 1):
        largest = logits.max(axis=axis, keepdims=True)
        exponentials = np.exp(logits - largest)
        expected += (largest + np.log(exponentials.sum(axis=axis, keepdims=True))).sum()
        shares.append(exponentials / exponentials.sum(axis=axis, keepdims=True))
    assert value == pytest.approx(expected, rel=1e-5, abs=1e-4 * scale)
    np.testing.assert_allclose(
        found[0], (shares[0] + shares[1]) @ b * scale, atol=2e-5 * scale**2 + 1e-5
    )


@pytest.mark.parametrize("tiled", [False, True], ids=["one tile", "tiles"])
@pytest.mark.parametrize(
    "case", [EVERY[name] for name in ("InfoNCE", "InfoNCE, jackknife", "SigmoidContrastive")]
)
def test_second_derivatives_are_right_or_raise(case, tiled):
    set_tile_shape((4, 3) if tiled else WHOLE)
    a, b = normal(2, 8, 3)
    loss = case.make(temperature=0.5)

    def moved(t):
        return loss(None, (ops.convert_to_tensor(a) + t * ops.convert_to_tensor(b), b))

    if tiled:
        with pytest.raises(NotImplementedError, match="no second derivative"):
            second_derivative(moved, np.float32(0.1))
    else:
        slopes = [gradients(moved, np.float32(t))[0] for t in (0.09, 0.11)]
        assert second_derivative(moved, np.float32(0.1)) == pytest.approx(
            (slopes[1] - slopes[0]) / 0.02, rel=1e-2
        )


def test_a_tile_shape_is_two_positive_integers():
    for shape in ((0, 4), (4,), (4, 2.5), 7):
        with pytest.raises(ValueError, match="two positive integers"):
            set_tile_shape(shape)
