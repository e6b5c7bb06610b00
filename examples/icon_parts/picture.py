"""Pictures of searches: queries, the drawings that were found, and the right one if missed."""

import textwrap

import numpy as np

INK, MUTED, FAINT, CORRECT, GIVEN = "#1f2430", "#6b7280", "#dfe3e9", "#009e73", "#0072b2"
WIDTH, LABEL, ROW, HEAD, MARGIN = 8.0, 1.75, 0.88, 0.78, 0.12  # inches
SHOWN = 6  # drawings of a query


class Found:
    """The drawings that were found for a query, and which of them are right.

    Args:
        query: The words, or a drawing `(size, size)`.
        caption: `None` for words. For a drawing, its name and artist.
        scores: `(drawings,)`, similarities to the drawings that are searched.
        right: `(drawings,)`, a mask.
    """

    def __init__(self, query, caption, scores, right):
        self.query, self.caption, self.right = query, caption, right
        order = np.argsort(-scores, kind="stable")
        self.rows = order[:SHOWN]
        self.missed = None
        if not right[self.rows].any():
            self.place = 1 + int(np.flatnonzero(right[order])[0])
            self.missed = order[self.place - 1]


def draw(path, title, subtitle, found, images, names):
    """Draws one row for each query, and writes the file."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    height = HEAD + ROW * len(found) + MARGIN
    with rc_context({"font.family": "DejaVu Sans", "text.parse_math": False}):
        figure = Figure(figsize=(WIDTH, height), facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
        axes.axis("off")
        axes.text(MARGIN, 0.24, title, size=13, weight="bold", color=INK, va="center")
        axes.text(MARGIN, 0.52, subtitle, size=8.5, color=MUTED, va="center")
        cell = (WIDTH - LABEL - 2 * MARGIN) / (SHOWN + 1)
        left = WIDTH - MARGIN - cell / 2
        axes.text(left, 0.52, "right one, if missed", size=7, color=MUTED, ha="center", va="center")
        for number, one in enumerate(found):
            top = HEAD + ROW * number
            axes.plot((MARGIN, WIDTH - MARGIN), (top - 0.04,) * 2, color=FAINT, lw=0.8)
            _draw_query(axes, one, top)
            for place, row in enumerate(one.rows):
                x = LABEL + MARGIN + cell * place
                _draw_found(axes, x, top, cell, images[row], names[row], one.right[row])
            if one.missed is not None:
                name = f"{one.place}. {names[one.missed]}"
                x = WIDTH - MARGIN - cell
                _draw_found(axes, x, top, cell, images[one.missed], name, None)
        figure.savefig(path, dpi=200)


def _draw_query(axes, one, top):
    middle = top + ROW / 2 - 0.04
    if one.caption is None:
        text = _wrapped(one.query, 18)
        axes.text(MARGIN, middle, text, size=11, weight="bold", color=INK, va="center")
        return
    _draw_ink(axes, one.query, MARGIN, top + 0.08, 0.6, GIVEN)
    name, artist = one.caption
    x, name = MARGIN + 0.7, _wrapped(name, 12)
    axes.text(x, middle - 0.08, name, size=9, weight="bold", color=INK, va="center")
    axes.text(x, middle + 0.24, artist, size=7, color=MUTED, va="center")


def _draw_found(axes, x, top, cell, image, name, right):
    from matplotlib.patches import FancyBboxPatch

    if right:
        style = "round,pad=0,rounding_size=0.07"
        box = FancyBboxPatch((x + 0.03, top), cell - 0.06, ROW - 0.08, boxstyle=style)
        box.set(edgecolor=CORRECT, facecolor="#e3f4ee", linewidth=1.4, zorder=0)
        axes.add_patch(box)
    color = MUTED if right is None else INK
    _draw_ink(axes, image, x + (cell - 0.5) / 2, top + 0.07, 0.5, color)
    caption = ("✓ " if right else "") + _shortened(str(name), 15 - 2 * bool(right))
    color = CORRECT if right else MUTED
    axes.text(x + cell / 2, top + 0.67, caption, size=6.5, color=color, ha="center", va="center")


def _draw_ink(axes, image, x, y, side, color):
    red, green, blue = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    pixels = np.empty((*image.shape, 4))
    pixels[:] = red, green, blue, 1
    pixels[..., 3] = image / 255
    extent = (x, x + side, y + side, y)
    axes.imshow(pixels, extent=extent, interpolation="antialiased", aspect="auto", zorder=1)


def _shortened(text, length):
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _wrapped(text, length):
    return "\n".join(textwrap.wrap(text, length))
