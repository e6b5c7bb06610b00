"""All figures: size, fonts, texts in any script, and no global state."""

import sys

import numpy as np
import pytest

from tests.unit.viz.figures import FIGURES, png_size, texts_of

pytestmark = pytest.mark.viz
every_figure = pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)


@every_figure
def test_figure_is_720_px_wide_and_can_be_saved_larger(make):
    figure = make()
    assert png_size(figure)[0] == 720  # warnings are errors, such as that of a missing glyph
    assert png_size(figure, dpi=200)[0] == 1440


@every_figure
def test_texts_are_large_enough_and_inside_the_figure(make):
    figure = make()
    assert all(text.get_fontsize() >= 8.5 for text in texts_of(figure))
    drawn = figure.get_tightbbox(figure.canvas.get_renderer())  # inches
    width, height = figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) > -0.01
    assert drawn.x1 < width + 0.01
    assert drawn.y1 < height + 0.01


@every_figure
def test_no_window_and_no_setting_of_matplotlib_changes(make, monkeypatch):
    import matplotlib

    before = dict(matplotlib.rcParams)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    make()
    assert "matplotlib.pyplot" not in sys.modules
    assert dict(matplotlib.rcParams) == before


@every_figure
def test_settings_of_the_user_do_not_change_the_figure(make):
    import matplotlib

    expected = [text.get_fontsize() for text in texts_of(make())]
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "figure.dpi": 50}):
        figure = make()
    assert [text.get_fontsize() for text in texts_of(figure)] == expected
    assert png_size(figure)[0] == 720


def test_colors_differ_in_lightness_or_hue():
    from matplotlib.colors import to_rgb

    from keras_contrastive.viz._style import CORRECT, PALETTE, WRONG

    assert {CORRECT, WRONG} <= set(PALETTE)
    colors = np.array([to_rgb(color) for color in PALETTE])
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=-1)
    assert distances[np.triu_indices(len(colors), 1)].min() > 0.25
