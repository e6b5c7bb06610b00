"""Queries and their nearest neighbors."""

import dataclasses
from typing import Any

import numpy as np

from keras_contrastive._typing import Array, ArrayLike
from keras_contrastive.viz._glyphs import drawable
from keras_contrastive.viz._items import Items, are_strings, as_images
from keras_contrastive.viz._neighbor_checks import (
    checked_rows,
    checked_scores,
    correct_neighbors,
    have_one_match,
)
from keras_contrastive.viz._style import (
    CORRECT,
    FAINT,
    INK,
    LARGE,
    MEDIUM,
    MUTED,
    SMALL,
    WIDTH,
    WRONG,
    new_figure,
)

_MARGIN, _GAP = 0.15, 0.1  # inches, as all sizes here
_TEXT_COLUMN = 1.75  # width of a query that is a text
_LARGEST_CELL = 1.05
_CAPTION = 0.24  # height of the line below an image
_LINE = 0.21  # height of a line of text


def neighbors(
    queries: Items,
    corpus: Items,
    rows: ArrayLike,
    scores: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    corpus_ids: ArrayLike | None = None,
    title: str | None = None,
) -> Any:
    """Draws queries and their nearest neighbors, with a mark at each correct one.

    `scores, rows = kc.evaluation.search(image_embeddings, text_embeddings, k=5)` finds neighbors.

    Args:
        queries: At most 50 images or strings. Images are `(n, height, width)`, or `(n, height,
            width, channels)` with 1, 3 or 4 channels, or a list of images of any sizes. Integers
            and floats are in [0, 255], or all floats are in [0, 1].
        corpus: All images or strings that were searched.
        rows: Row numbers of the neighbors in the corpus, integers `(n, k)`, the nearest first. `k`
            is at most 12.
        scores: `None`, or the similarities `(n, k)`.
        query_ids: `None`, or ids of the queries `(n,)`. A neighbor with the same id is correct.
        corpus_ids: `None`, or ids of the corpus.
        title: Title of the figure. With ids, the default is the number of correct neighbors, or of
            matches that are found if each query has one.

    Returns:
        A `matplotlib.figure.Figure`, 720 px wide.

    Raises:
        ImportError: If matplotlib is not installed (extra `viz`).
        ValueError: If shapes do not fit together, or there are too many queries or neighbors.

    Example:

    >>> words, ids = ["red", "scarlet", "blue"], np.array([0, 0, 1])
    >>> rows = np.array([[1, 2], [0, 2]])
    >>> figure = keras_contrastive.viz.neighbors(words[:2], words, rows, None, ids[:2], ids)
    >>> figure.get_suptitle()
    '2 of 4 neighbors are correct'
    """
    rows = checked_rows(rows, len(queries), len(corpus))
    scores = checked_scores(scores, rows)
    correct = correct_neighbors(rows, query_ids, corpus_ids, len(corpus))
    if title is None:
        title = "" if correct is None else _result(correct, have_one_match(query_ids, corpus_ids))
    shown = _shown("queries", queries, np.arange(len(queries)))
    found = _shown("corpus", corpus, np.unique(rows))
    items = [*shown.values(), *found.values()]
    texts = [title, *(item for item in items if isinstance(item, str))]
    shapes = [item.shape for item in items if not isinstance(item, str)]
    ratio = min(max((height / width for height, width, _ in shapes), default=1.0), 1.0)
    sizes = _Sizes.of(are_strings(queries), are_strings(corpus), rows.shape[1], ratio)
    top = 0.45 if title else _MARGIN
    height = top + len(rows) * sizes.block + _MARGIN
    with new_figure(height, texts) as figure:
        if title:
            x, y = _MARGIN / WIDTH, 1 - 0.12 / height
            figure.suptitle(drawable(title), size=LARGE, x=x, y=y, ha="left", va="top")
        canvas = _Canvas(figure, height)
        for number, neighbors_of_query in enumerate(rows):
            y = top + number * sizes.block
            _draw_query(canvas, sizes, y, shown[number], f"query {number}")
            for place, row in enumerate(neighbors_of_query):
                mark = None if correct is None else bool(correct[number, place])
                score = None if scores is None else float(scores[number, place])
                draw = _draw_line if isinstance(found[row], str) else _draw_cell
                label = f"query {number}, neighbor {place}"
                draw(canvas, sizes, y, place, found[row], mark, score, label)
        if not figure.axes:  # Notebooks show no figure without axes.
            figure.add_axes((0, 0, 1, 1), label="texts").set_axis_off()
    return figure


def _result(correct: Array, one_match: bool) -> str:
    if not one_match:
        return f"{correct.sum()} of {correct.size} neighbors are correct"
    queries, k = correct.shape
    return f"{correct.any(axis=1).sum()} of {queries} matches are among the first {k}"


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """Sizes in inches.

    Args:
        query: Width of a query.
        cell: Width of a neighbor that is an image.
        ratio: Height of an image over its width, at most 1.
        block: Height of a query with its neighbors.
    """

    query: float
    cell: float
    ratio: float
    block: float

    @classmethod
    def of(cls, text_queries: bool, text_corpus: bool, k: int, ratio: float) -> "_Sizes":
        if text_corpus and text_queries:
            return cls(_TEXT_COLUMN, 0.0, ratio, k * _LINE + 2 * _GAP)
        if text_corpus:
            height = max(ratio * _LARGEST_CELL, k * _LINE)
            return cls(_LARGEST_CELL, 0.0, ratio, height + 2 * _GAP)
        space = WIDTH - 2 * _MARGIN - (k + 1) * _GAP
        if text_queries:
            cell = min((space - _TEXT_COLUMN) / k, _LARGEST_CELL)
            height = max(ratio * cell, 2 * _LINE)
            return cls(_TEXT_COLUMN, cell, ratio, height + _CAPTION + _GAP)
        cell = min(space / (k + 1), _LARGEST_CELL)
        return cls(cell, cell, ratio, ratio * cell + _CAPTION + _GAP)


class _Canvas:
    """Draws on a figure at places in inches from its top left corner."""

    def __init__(self, figure: Any, height: float) -> None:
        self.figure = figure
        self.height = height

    def image(
        self, x: float, y: float, width: float, height: float, image: Array, color: str, label: str
    ) -> None:
        place = (x / WIDTH, 1 - (y + height) / self.height, width / WIDTH, height / self.height)
        axes = self.figure.add_axes(place, label=label)
        axes.imshow(image)
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set(visible=True, color=color, linewidth=0.8 if color == FAINT else 2.2)

    def text(self, x: float, y: float, text: str, width: float | None = None, **style: Any) -> Any:
        """Draws a text, shortened to a width if one is given."""
        style = {"ha": "left", "va": "center", "size": MEDIUM, **style}
        artist = self.figure.text(x / WIDTH, 1 - y / self.height, text, **style)
        if width is not None:
            self._shorten(artist, text, width * self.figure.dpi)
        return artist

    def wrapped(self, x: float, y: float, text: str, width: float, lines: int) -> None:
        """Draws a text in several lines around the height `y`, the last one shortened."""
        words, broken = text.split(" "), [""]
        probe = self.text(x, y, "", weight="bold")
        for word in words:
            longer = f"{broken[-1]} {word}".strip()
            probe.set_text(longer)
            fits = probe.get_window_extent().width <= width * self.figure.dpi
            if fits or not broken[-1] or len(broken) == lines:
                broken[-1] = longer
            else:
                broken.append(word)
        probe.remove()
        first = y - (len(broken) - 1) * _LINE / 2
        for number, line in enumerate(broken):
            self.text(x, first + number * _LINE, line, width, weight="bold")

    @staticmethod
    def _shorten(artist: Any, text: str, width: float) -> None:
        if artist.get_window_extent().width <= width:
            return
        low, high = 0, len(text)  # the longest beginning that fits is in [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            artist.set_text(text[:middle].rstrip() + "…")
            low, high = (
                (middle, high) if artist.get_window_extent().width <= width else (low, middle)
            )
        artist.set_text(text[:low].rstrip() + "…")


def _draw_query(canvas: _Canvas, sizes: _Sizes, y: float, item: Any, label: str) -> None:
    if not isinstance(item, str):
        canvas.image(_MARGIN, y, sizes.query, sizes.ratio * sizes.query, item, MUTED, label)
        return
    space = sizes.block - (_CAPTION + _GAP if sizes.cell else 2 * _GAP)
    lines = max(int(space / _LINE + 0.01), 1)  # a quotient of 2 may be rounded down
    canvas.wrapped(_MARGIN, y + space / 2, drawable(item), sizes.query - _GAP, lines)


def _draw_cell(
    canvas: _Canvas,
    sizes: _Sizes,
    y: float,
    place: int,
    item: Array,
    mark: bool | None,
    score: float | None,
    label: str,
) -> None:
    x = _MARGIN + sizes.query + 2 * _GAP + place * (sizes.cell + _GAP)
    color = FAINT if mark is None else CORRECT if mark else WRONG
    height = sizes.ratio * sizes.cell
    canvas.image(x, y, sizes.cell, height, item, color, label)
    caption = " ".join(part for part in (_mark(mark), _score(score)) if part)
    middle, below = x + sizes.cell / 2, y + height + _CAPTION / 2
    color = MUTED if mark is None else color
    canvas.text(middle, below, caption, ha="center", size=SMALL, color=color)


def _draw_line(
    canvas: _Canvas,
    sizes: _Sizes,
    y: float,
    place: int,
    item: str,
    mark: bool | None,
    score: float | None,
    label: str,
) -> None:
    x, y = _MARGIN + sizes.query + 2 * _GAP, y + (place + 0.5) * _LINE
    if mark is not None:
        canvas.text(x, y, _mark(mark), color=CORRECT if mark else WRONG)
        x += 0.2
    if score is not None:
        canvas.text(x, y, _score(score), size=SMALL, color=MUTED)
        x += 0.45
    color = INK if mark is None or mark else MUTED
    canvas.text(x, y, drawable(item), WIDTH - _MARGIN - x, color=color, gid=label)


def _mark(mark: bool | None) -> str:
    return "" if mark is None else "✓" if mark else "✗"


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}".replace("-", "−")


def _shown(name: str, items: Items, rows: Array) -> dict[int, Any]:
    """Returns the strings, or images as arrays, that the figure shows by their row number."""
    chosen = [items[int(row)] for row in rows]
    shown = [str(item) for item in chosen] if are_strings(items) else as_images(name, chosen)
    return dict(zip(rows.tolist(), shown, strict=True))
