"""Curves of a training."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_contrastive import _checks
from keras_contrastive.viz._glyphs import drawable
from keras_contrastive.viz._style import INK, LARGE, MUTED, PALETTE, SMALL, new_figure

# Panels by the names of the columns in them. Other columns have panels of their own.
_PANELS = {
    "loss (nats)": r"loss|.*_loss|contrast|matching|masked_language",
    "temperature": r"temperature.*",
    "bias": r"bias.*",
    "effective rank": r".*effective_rank.*",
    "retrieval and accuracy": r"(.*_)?(recall|hit_rate|precision|mrr|map|ndcg|accuracy|r_precision)"
    r"(_.*)?",
    "cosine similarity": r".*(positive_similarity|hardest_negative).*",
}
_VALIDATION = "val_"
_DASHED = (0, (3, 1.6))


def training(
    history: Any,
    columns: Sequence[str] | None = None,
    batch_size: int | None = None,
    title: str | None = None,
) -> Any:
    """Draws the curves of a training: one panel for each kind of number, over the epochs.

    Solid lines are training, dashed lines are validation. See `docs/training_curves.md` for how to
    read them.

    Args:
        history: What `fit` returns, or a dict from names to lists with one value per epoch, such as
            `dict(pandas.read_csv("log.csv"))` for the file of `keras.callbacks.CSVLogger`. NaN
            marks an epoch without a value.
        columns: Names of the columns to draw, or `None` for all. `"loss"` includes `"val_loss"`.
        batch_size: `None`, or the number of rows per batch. Marks log(batch size) in the panel of
            the loss: the value of `InfoNCE` if all embeddings are equal.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`, 720 px wide. Save it with `figure.savefig(path)`, or
        `figure.savefig(path, dpi=200)` for print.

    Raises:
        ImportError: If matplotlib is not installed (extra `viz`).
        TypeError: If `history` is neither a `History` nor a mapping.
        ValueError: If there is nothing to draw, columns are unknown, or their lengths differ.

    Example:

    >>> history = {"loss": [2.1, 1.4, 1.1], "val_loss": [2.2, 1.6, 1.5], "temperature": [0.07] * 3}
    >>> figure = keras_contrastive.viz.training(history, batch_size=8)
    >>> [panel.get_title(loc="left") for panel in figure.axes]
    ['loss (nats)', 'temperature']
    """
    epochs, curves = _curves_of(history, columns)
    batch_size = _checks.optional_positive_int("batch_size", batch_size)
    panels = _panels_of(curves)
    num_rows = math.ceil(len(panels) / 2)
    height = 2.5 * num_rows + 0.5 + (0.4 if title else 0)
    with new_figure(height, [title or "", *curves], layout="constrained") as figure:
        grid = figure.subplots(num_rows, min(len(panels), 2), sharex=True, squeeze=False)
        for name, axes in zip(panels, grid.flat, strict=False):
            _draw_panel(axes, name, epochs, {column: curves[column] for column in panels[name]})
            if name == "loss (nats)" and batch_size:
                _mark_log_batch(axes, batch_size, epochs)
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        for column in range(grid.shape[1]):
            bottom = (len(panels) - 1 - column) // grid.shape[1]
            grid[bottom, column].set_xlabel("epoch")
            grid[bottom, column].tick_params(labelbottom=True)
        if title:
            figure.suptitle(drawable(title), x=0.01, ha="left", size=LARGE)
        if any(column.startswith(_VALIDATION) for column in curves):
            _explain_dashes(figure)
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    return figure


def _curves_of(
    history: Any, columns: Sequence[str] | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns the epochs, from 1 on, and the columns to draw."""
    values = getattr(history, "history", history)
    if not isinstance(values, Mapping):
        raise TypeError(
            "`history` must be what `fit` returns, or a dict from names to lists of values. "
            f"Received: history of type {type(history).__name__}."
        )
    curves = {str(name): np.asarray(list(curve), "float64") for name, curve in values.items()}
    epochs = curves.pop("epoch", None)
    if epochs is None and getattr(history, "epoch", None):
        epochs = np.asarray(history.epoch, "float64")
    if columns is not None:
        known = {name.removeprefix(_VALIDATION) for name in curves} | set(curves)
        _checks.known_names("columns", columns, known, "names of columns")
        curves = {
            name: curve
            for name, curve in curves.items()
            if name in columns or name.removeprefix(_VALIDATION) in columns
        }
    lengths = {name: len(curve) for name, curve in curves.items()}
    if not lengths or min(lengths.values()) == 0:
        raise ValueError(
            f"`history` must have at least one column with a value. Received: {lengths}."
        )
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"`history` must have one value per epoch in each column. Received: {lengths}. Use NaN "
            "for epochs without a value."
        )
    count = next(iter(lengths.values()))
    if epochs is None or len(epochs) != count:
        epochs = np.arange(float(count))
    return epochs + 1, curves


def _panels_of(curves: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns the columns of each panel, the known panels first."""
    panels: dict[str, list[str]] = {name: [] for name in _PANELS}
    for column in curves:
        plain = column.removeprefix(_VALIDATION)
        found = (name for name, names in _PANELS.items() if re.fullmatch(names, plain))
        panels.setdefault(next(found, plain), []).append(column)
    return {name: columns for name, columns in panels.items() if columns}


def _draw_panel(axes: Any, name: str, epochs: Any, curves: Mapping[str, Any]) -> None:
    from matplotlib.ticker import MaxNLocator

    plain_names = list(dict.fromkeys(column.removeprefix(_VALIDATION) for column in curves))
    named: set[str] = set()
    for column, values in curves.items():
        plain, is_validation = column.removeprefix(_VALIDATION), column.startswith(_VALIDATION)
        seen = np.isfinite(values)
        axes.plot(
            *(epochs[seen], values[seen]),
            color=PALETTE[plain_names.index(plain) % len(PALETTE)],
            linestyle=_DASHED if is_validation else "-",
            marker="o" if seen.sum() < 12 else None,
            # Lines of training and of validation share an entry of the legend.
            label=drawable(plain) if plain not in named else "_",
            gid=column,
        )
        named.add(plain)
    is_group = name in ("retrieval and accuracy", "cosine similarity")
    axes.set_title(drawable(plain_names[0] if is_group and len(plain_names) == 1 else name))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    pad = min(0.04 * (epochs[-1] - epochs[0]), 0.9) or 0.5  # no tick before the first epoch
    axes.set_xlim(epochs[0] - pad, epochs[-1] + pad)
    axes.margins(y=0.1)
    low, high = axes.dataLim.intervaly
    if high - low <= 1e-6 * abs(high):  # a constant
        axes.set_ylim(sorted((0, 2 * high)) if high else (-1, 1))
    if len(plain_names) > 1:
        axes.legend(loc="best", handlelength=1.8, labelcolor=INK)


def _explain_dashes(figure: Any) -> None:
    from matplotlib.lines import Line2D

    styles: list[tuple[str, Any]] = [("training", "-"), ("validation", _DASHED)]
    lines = [Line2D([], [], color=MUTED, linestyle=style, label=name) for name, style in styles]
    figure.legend(handles=lines, loc="outside lower right", ncols=2, labelcolor=INK)


def _mark_log_batch(axes: Any, batch_size: int, epochs: Any) -> None:
    level = math.log(batch_size)
    axes.axhline(level, color=MUTED, linewidth=1, linestyle=":")
    axes.annotate(
        f"log({batch_size})",
        (1, level),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        color=MUTED,
        size=SMALL,
    )
