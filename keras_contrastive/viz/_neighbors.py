"""Queries and their nearest neighbors."""

import dataclasses
from typing import Any

import numpy as np

from keras_contrastive._typing import Array, ArrayLike
from keras_contrastive.viz._glyphs import drawable
from keras_contrastive.viz._items import Items, are_strings, as_images, to_array
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

_MOST_QUERIES, _MOST_NEIGHBORS = 50, 12
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
        title: Title of the figure. With ids, the default is the number of correct neighbors.

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
    rows = _checked_rows(rows, len(queries), len(corpus))
    scores = _checked_scores(scores, rows)
    correct = _correct(rows, query_ids, corpus_ids, len(corpus))
    if title is None:
        title = "" if correct is None else f"{correct.sum()} of {rows.size} neighbors are correct"
    shown = _shown("queries", queries, np.arange(len(queries)))
    found = _shown("corpus", corpus, np.unique(rows))
    texts = [title, *(item for item in (*shown.values(), *found.values()) if isinstance(item, str))]
    sizes = _Sizes.of(are_strings(queries), are_strings(corpus), rows.shape[1])
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


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """Sizes in inches.

    Args:
        query: Width of a query.
        cell: Side of a neighbor that is an image.
        block: Height of a query with its neighbors.
    """

    query: float
    cell: float
    block: float

    @classmethod
    def of(cls, text_queries: bool, text_corpus: bool, k: int) -> "_Sizes":
        width = WIDTH - 2 * _MARGIN
        if text_corpus:
            query = _TEXT_COLUMN if text_queries else _LARGEST_CELL
            return cls(query, 0.0, max(query * (not text_queries), k * _LINE) + 2 * _GAP)
        if text_queries:
            cell = min((width - _TEXT_COLUMN - (k + 1) * _GAP) / k, _LARGEST_CELL)
            return cls(_TEXT_COLUMN, cell, cell + _CAPTION + _GAP)
        cell = min((width - (k + 1) * _GAP) / (k + 1), _LARGEST_CELL)
        return cls(cell, cell, cell + _CAPTION + _GAP)


class _Canvas:
    """Draws on a figure at places in inches from its top left corner."""

    def __init__(self, figure: Any, height: float) -> None:
        self.figure = figure
        self.height = height

    def image(self, x: float, y: float, side: float, image: Array, color: str, label: str) -> None:
        place = (x / WIDTH, 1 - (y + side) / self.height, side / WIDTH, side / self.height)
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
        canvas.image(_MARGIN, y, sizes.query, item, MUTED, label)
        return
    space = sizes.cell or sizes.block - 2 * _GAP
    lines = max(int(space / _LINE), 1)
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
    canvas.image(x, y, sizes.cell, item, color, label)
    caption = " ".join(part for part in (_mark(mark), _score(score)) if part)
    middle, below = x + sizes.cell / 2, y + sizes.cell + _CAPTION / 2
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


def _checked_rows(rows: ArrayLike, num_queries: int, num_corpus: int) -> Array:
    rows = to_array(rows)
    if rows.ndim != 2 or rows.dtype.kind not in "iu" or len(rows) != num_queries or not rows.size:
        raise ValueError(
            "`rows` must be integers `(queries, k)`, with one line for each query. "
            f"Received: rows {rows.shape} of dtype {rows.dtype}, {num_queries} queries."
        )
    if rows.min() < 0 or rows.max() >= num_corpus:
        raise ValueError(
            f"`rows` must be row numbers of the corpus, in [0, {num_corpus}). "
            f"Received: row numbers in [{rows.min()}, {rows.max()}]."
        )
    if rows.shape[0] > _MOST_QUERIES or rows.shape[1] > _MOST_NEIGHBORS:
        raise ValueError(
            f"`rows` must have at most {_MOST_QUERIES} queries and {_MOST_NEIGHBORS} neighbors. "
            f"Received: rows {rows.shape}. Pass some of them, such as `queries[:8]` and "
            "`rows[:8, :10]`."
        )
    return rows


def _checked_scores(scores: ArrayLike | None, rows: Array) -> Array | None:
    scores = None if scores is None else to_array(scores)
    if scores is not None and scores.shape != rows.shape:
        raise ValueError(
            "`scores` must have the shape of `rows`. "
            f"Received: scores {scores.shape}, rows {rows.shape}."
        )
    return scores


def _correct(rows: Array, query_ids: Any, corpus_ids: Any, num_corpus: int) -> Array | None:
    """Returns which neighbors have the id of their query, `(queries, k)`, or `None`."""
    if query_ids is None and corpus_ids is None:
        return None
    if query_ids is None or corpus_ids is None:
        raise ValueError(
            "`query_ids` and `corpus_ids` must both be given, or none of them. Received: "
            f"only {'corpus_ids' if query_ids is None else 'query_ids'}."
        )
    query_ids, corpus_ids = to_array(query_ids).reshape(-1), to_array(corpus_ids).reshape(-1)
    if len(query_ids) != len(rows) or len(corpus_ids) != num_corpus:
        raise ValueError(
            "`query_ids` and `corpus_ids` must have one id for each query and each item. Received: "
            f"{len(query_ids)} and {len(corpus_ids)} ids, {len(rows)} queries, {num_corpus} items."
        )
    return query_ids[:, None] == corpus_ids[rows]
