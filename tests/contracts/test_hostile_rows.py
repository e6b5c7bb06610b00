"""Rows that are zero, equal, huge or tiny: every public measure equals its float64 reference."""

import functools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from keras import ops

from tests.contracts.loss_cases import EVERY, MINED
from tests.contracts.regularizer_cases import NAMES, REGULARIZERS, built, random_views
from tests.contracts.test_metrics import CASES as METRICS
from tests.helpers.backend import compiled

ROWS, DIM = 6, 4
IDS = np.array([0, 1, 2, 2, 3, 4])
SIZES = {"zero": 0.0, "equal": 1.0, "huge": 1e30, "tiny": 1e-9, "plain": 1.0}
HALF_SIZES = {**SIZES, "huge": 6e3, "tiny": 1e-4}
settings = hypothesis.settings(max_examples=15)
sizes_and_tiles = pytest.mark.parametrize(
    ("dtype", "tile"),
    [("float32", None), ("float32", (2, 3)), ("float16", None)],
    ids=["one tile", "tiles", "half precision"],
)


def views_of(draw, dtype, count):
    """Views whose first row is an ordinary one."""
    sizes = SIZES if dtype == "float32" else HALF_SIZES
    views = []
    for _ in range(count):
        kinds = ["plain", *draw(st.lists(st.sampled_from(list(sizes)), min_size=5, max_size=5))]
        numbers = draw(hnp.arrays("int8", (ROWS, DIM), elements=st.integers(-8, 8)))
        rows = numbers + 0.5  # never zero
        for row, kind in enumerate(kinds):
            rows[row] = sizes[kind] * (1.0 if kind == "equal" else rows[row])
        views.append(rows.astype(dtype))
    return views


def compare(function, reference, dtype, count=2, limits=None, **tolerance):
    """Compares a compiled function of views with a reference, for rows of all kinds."""
    function = compiled(function)

    @hypothesis.given(st.data())
    @settings
    def each(data):
        views = views_of(data.draw, dtype, count)
        found = np.asarray(ops.convert_to_numpy(function(*map(ops.convert_to_tensor, views))))
        assert np.all(np.isfinite(found))
        if limits is not None:
            assert limits[0] <= found <= limits[1]
            return
        wide = [view.astype("float64") for view in views]
        np.testing.assert_allclose(found, reference(wide), **tolerance)

    each()


@sizes_and_tiles
@pytest.mark.parametrize("name", EVERY | MINED)
def test_losses(name, dtype, tile, tile_shape):
    tile_shape(tile)
    case = (EVERY | MINED)[name]
    loss = case.make(temperature=0.5, reduction=None)
    compare(
        lambda a, b: loss(IDS, (a, b), training=False),
        lambda views: case.value(views, IDS, 0.5),
        dtype,
        rtol=1e-4,
        atol=1e-4,
    )


@sizes_and_tiles
@pytest.mark.parametrize("name", METRICS)
def test_metrics(name, dtype, tile, tile_shape):
    tile_shape(tile)
    metric = METRICS[name].make()
    if hasattr(metric, "sum_shapes"):
        metric.build((None, 2, DIM))
    state = [np.zeros(variable.shape, "float32") for variable in metric.variables]
    compare(
        lambda a, b: metric.stateless_result(
            metric.stateless_update_state(list(map(ops.convert_to_tensor, state)), IDS, [a, b])
        ),
        lambda views: METRICS[name].reference([(views, IDS, None)]),
        dtype,
        # A tie of cosines is decided by rounding.
        limits=(0, 1) if name == "recall" else None,
        rtol=1e-3,
        atol=0.01 if name == "std" else 1e-3,  # `EmbeddingStd` promises no more
    )


@sizes_and_tiles
@pytest.mark.parametrize("name", REGULARIZERS)
def test_regularizers(name, dtype, tile, tile_shape):
    tile_shape(tile)
    layer = built(REGULARIZERS[name].make(), random_views(ROWS, DIM))
    compare(
        lambda *views: layer.penalty(dict(zip(NAMES, views, strict=True))),
        functools.partial(_penalty, REGULARIZERS[name], layer),
        dtype,
        count=4,
        rtol=1e-3,
        atol=1e-3,
    )


def _penalty(case, layer, views):
    return case.penalty(layer, dict(zip(NAMES, views, strict=True)))
