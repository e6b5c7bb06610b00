"""Products of rows with the others of their group, in blocks of columns."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine.groups import products_with_others_of_the_group
from keras_contrastive.config import set_tile_shape
from tests.helpers import normal
from tests.helpers.backend import FASTEST, second_derivative, value_and_gradients


def expected(rows, more, ids, weights):
    """Value and gradients, in float64 from the matrix of all pairs."""
    everything = np.concatenate([rows, *more]).astype("float64")
    same = ids[: len(rows), None] == ids
    same[np.arange(len(rows)), np.arange(len(rows))] = False
    pairs = same * weights[:, None]
    gradient = pairs.T @ everything[: len(rows)]
    gradient[: len(rows)] += pairs @ everything
    value = np.sum(pairs * (everything[: len(rows)] @ everything.T))
    return value, np.split(gradient, np.cumsum([len(rows), *map(len, more)])[:-1])


@pytest.mark.parametrize("dim", [5, 64, 70])
@pytest.mark.parametrize("more", [(), (4, 1)])
def test_blocks_of_columns_have_the_value_and_gradients_of_the_formula(dim, more):
    rows, *further = [normal(size, dim, seed=size) for size in (9, *more)]
    ids = np.random.default_rng(0).integers(0, 4, 9 + sum(more)).astype("int32")
    weights = normal(9)

    def function(rows, *further):
        products = products_with_others_of_the_group(rows, further, ops.convert_to_tensor(ids))
        return ops.sum(products * ops.convert_to_tensor(weights))

    value, gradients = expected(rows, further, ids, weights)
    for shape in ((4, 3), (100, 100)):
        set_tile_shape(shape)
        found, slopes = value_and_gradients(function, rows, *further, **FASTEST)
        assert found == pytest.approx(value, rel=1e-4, abs=1e-4)
        for x, y in zip(slopes, gradients, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)


def test_one_block_has_a_second_derivative():
    rows, ids = normal(6, 70), np.array([0, 0, 1, 1, 1, 2], "int32")
    x = ops.convert_to_tensor(rows)

    def function(factor):
        return ops.sum(
            products_with_others_of_the_group(factor * x, (), ops.convert_to_tensor(ids))
        )

    value, _ = expected(rows, (), ids, np.ones(6))
    assert second_derivative(function, 1.5) == pytest.approx(2 * value, rel=1e-4)
