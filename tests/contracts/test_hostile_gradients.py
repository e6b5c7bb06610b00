"""Rows that are zero, equal, huge or tiny: gradients of losses equal their float64 references."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from tests.contracts.loss_cases import EVERY
from tests.contracts.test_hostile_rows import DIM, IDS, ROWS, views_of
from tests.helpers.backend import gradient_function

LABELS = np.array([0, 1, 0, 1, 2, 0])
MODES = {
    "one tile": (None, 0.5, IDS, 2),
    "tiles": ((2, 3), 0.02, IDS, 2),
    "labels": (None, 0.02, LABELS, 1),
    "labels in tiles": ((2, 3), 0.5, LABELS, 1),
}


def slope(function, views, directions, step):
    """The derivative along a direction, in float64."""
    up, down = (
        function([z + side * step * d for z, d in zip(views, directions, strict=True)])
        for side in (1, -1)
    )
    return (up - down) / (2 * step)


@pytest.mark.parametrize("name", [name for name, case in EVERY.items() if case.smooth])
@pytest.mark.parametrize("mode", MODES)
def test_gradients_equal_their_references(mode, name, tile_shape):
    tile, temperature, ids, count = MODES[mode]
    tile_shape(tile)
    loss = EVERY[name].make(temperature=temperature)
    evaluate = gradient_function(lambda *z: loss(ids, z if count > 1 else z[0]))

    @hypothesis.given(st.data())
    @hypothesis.settings(max_examples=6, phases=[hypothesis.Phase.generate])  # no search
    def each(data):
        views = views_of(data.draw, "float32", count)
        found = evaluate(*views)
        assert all(np.isfinite(gradient).all() for gradient in found)
        wide = [view.astype("float64") for view in views]
        losses = EVERY[name].objective_near(wide)
        generator = np.random.default_rng(data.draw(st.integers(0, 99)))
        for _ in range(3):
            # Steps of a row are in units of its length. A zero row stays, since it has no slope.
            steps = [
                generator.normal(size=(ROWS, DIM)) * np.linalg.norm(z, axis=1, keepdims=True)
                for z in wide
            ]
            expected = slope(
                lambda z: losses(z, ids, temperature).mean(), wide, steps, 1e-5 * temperature
            )
            projected = sum(np.sum(g * s) for g, s in zip(found, steps, strict=True))
            # float32 logits err by 1e-7 / temperature, relative to slopes of 1 / temperature.
            assert projected == pytest.approx(
                expected, rel=2e-4, abs=1e-5 / temperature + 2e-6 / temperature**2
            )

    each()
