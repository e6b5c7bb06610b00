"""Tables and figures of the research pages, from the JSON files of the cells alone."""

import pathlib
import re

import numpy as np
import protocol

from keras_contrastive.viz import _style

INK, MUTED = _style.INK, _style.MUTED
PALETTE = _style.PALETTE
BETTER, WORSE = _style.CORRECT, _style.WRONG
COLORS = {
    "InfoNCE": "#0072b2",
    "DecoupledContrastive": "#d55e00",
    "GammaContrastive": "#009e73",
    "GammaContrastive, shared": "#56b4e9",
    "GlobalContrastive": "#cc79a7",
    "SigmoidContrastive": "#5e3c99",
    "jackknife": "#e69f00",
}


def table(head, rows):
    """Returns a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def score(test, name="mrr"):
    mean, error = protocol.over_seeds(test[name])
    if np.isnan(error):
        return f"{mean:.4f}"
    return f"{mean:.4f} ± {error:.4f}"


def signed(found):
    """Returns a difference with its errors over seeds and over families."""
    mean, seeds, families = found
    return f"{mean:+.4f} ± {seeds:.4f} (± {families:.4f})"


def filled(text, tables):
    """Returns the text of a page with new tables.

    Args:
        text: The page. A table is between `<!-- table: name -->` and `<!-- end -->`.
        tables: Dict of tables by name. One that the page lacks is added at the end.
    """
    for name, new in tables.items():
        begin = f"<!-- table: {name} -->\n"
        block = f"{begin}\n{new}\n\n<!-- end -->"
        if begin not in text:
            text = f"{text.rstrip()}\n\n{begin}<!-- end -->\n"
        pattern = re.compile(rf"{re.escape(begin)}.*?<!-- end -->", re.DOTALL)
        text = pattern.sub(lambda found, block=block: block, text, count=1)
    return text


def write_page(path, tables):
    """Writes the tables of a page, and nothing else of a page that exists."""
    path = pathlib.Path(path)
    text = path.read_text(encoding="utf-8") if path.exists() else f"# {path.stem}\n"
    path.write_text(filled(text, tables), encoding="utf-8")
    print(f"wrote {path}")


def title(path, start="# "):
    """Returns the text of the first heading of a page that starts so: the finding."""
    lines = pathlib.Path(path).read_text(encoding="utf-8").split("\n")
    return next(line for line in lines if line.startswith(start)).lstrip("# ")


def save(figure, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200)
    print(f"wrote {path}")


def figure(height, title):
    """Returns the context of a new figure in the style of the project."""
    return _style.new_figure(height, [title], layout="constrained")


def untrained_line(axes, x, score, text):
    """Draws the score of a search without training, with a text above the line at `x`."""
    axes.axhline(score, color=MUTED, linestyle=":", linewidth=1.5)
    above = {"xytext": (0, 4), "textcoords": "offset points", "color": MUTED}
    axes.annotate(text, (x, score), **above)


def label_lines(axes, ends, gap):
    """Writes names at the right ends of lines, moved apart so that they do not overlap.

    Args:
        axes: Axes.
        ends: Dict from names to `(x, y, color)`.
        gap: Least distance of two names, in units of the vertical axis.
    """
    order = sorted(ends, key=lambda name: ends[name][1])
    heights = [ends[name][1] for name in order]
    for _ in range(200):
        for i in range(len(heights) - 1):
            overlap = gap - (heights[i + 1] - heights[i])
            if overlap > 0:
                heights[i] -= overlap / 2
                heights[i + 1] += overlap / 2
    for name, height in zip(order, heights, strict=True):
        x, _, color = ends[name]
        axes.annotate(
            name, (x, height), xytext=(8, 0), textcoords="offset points", color=color, va="center"
        )
