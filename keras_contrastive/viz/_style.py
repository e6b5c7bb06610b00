"""The style of all figures: size, fonts and colors."""

import contextlib
import importlib
from collections.abc import Iterable, Iterator
from typing import Any

from keras_contrastive.viz._glyphs import font_families

WIDTH = 7.2  # inches: 720 px at 100 dots per inch
SMALL, MEDIUM, LARGE = 8.5, 9.5, 11.5  # points: 12, 13 and 16 px at that width
INK, MUTED, FAINT = "#1f2430", "#6b7280", "#dfe3e9"
# The colors of Okabe & Ito, which do not depend on color vision. Black and yellow are replaced.
PALETTE = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7"),
    *("#d55e00", "#56b4e9", "#5e3c99", "#8c8c8c"),
)
OTHERS = "#c3c9d2"
CORRECT, WRONG = "#009e73", "#d55e00"
_SETTINGS = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "white",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": MEDIUM,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.titlesize": MEDIUM,
    "axes.titleweight": "bold",
    "figure.facecolor": "white",
    "figure.titlesize": LARGE,
    "figure.titleweight": "bold",
    "font.size": MEDIUM,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "image.interpolation": "antialiased",
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a label is a dollar sign
    "xtick.color": MUTED,
    "xtick.labelsize": SMALL,
    "ytick.color": MUTED,
    "ytick.labelsize": SMALL,
}


def require(package: str, extra: str) -> None:
    """Imports an optional package.

    Raises:
        ImportError: If it is not installed. The message names the extra that has it.
    """
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"`{package}` must be installed for this function of `keras_contrastive.viz`. "
            f'Received: {error}. Run `pip install ".[{extra}]"` in the clone.'
        ) from error


@contextlib.contextmanager
def new_figure(height: float, texts: Iterable[str] = (), **options: Any) -> Iterator[Any]:
    """Makes a figure, and applies the style to all that is drawn in the context.

    The figure belongs to no window. No global setting of matplotlib changes.

    Args:
        height: Height in inches.
        texts: Texts of the user in the figure. Fonts that have their characters are chosen.
        **options: See `matplotlib.figure.Figure`.
    """
    require("matplotlib", "viz")
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({**_SETTINGS, "font.family": font_families(texts)}):
        figure = Figure(figsize=(WIDTH, height), dpi=100, **options)
        FigureCanvasAgg(figure)  # saves the figure, without pyplot
        yield figure
