"""A map of embeddings in two dimensions."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array, ArrayLike
from keras_contrastive.viz._glyphs import drawable
from keras_contrastive.viz._items import Items, as_images, as_labels, to_array
from keras_contrastive.viz._style import FAINT, LARGE, OTHERS, PALETTE, new_figure, require

_MARKERS = ("o", "^", "s")
_MOST_CLASSES = len(PALETTE) * len(_MARKERS)
_LONGEST_LABEL = 22


def embeddings(
    x: ArrayLike | Mapping[str, ArrayLike],
    labels: ArrayLike | Sequence[Any] | None = None,
    images: Items | None = None,
    method: Literal["pca", "umap"] = "pca",
    seed: int = 0,
    title: str | None = None,
) -> Any:
    """Draws a map of embeddings in two dimensions, as points or as small images.

    PCA keeps as much of the variance as two directions can. Distances in the map are at most those
    of the embeddings. UMAP keeps neighborhoods. Its distances between clusters have no meaning.

    Args:
        x: Embeddings `(n, dim)`, or the dict that `predict` returns, from modalities to `(n, dim)`.
            A dict is drawn in one map with a color per modality.
        labels: `None`, or `(n,)` strings or integers, which choose the colors, with a legend. The
            24 most frequent labels have a color and a marker, and the others are gray.
        images: `None`, or `n` images. See `neighbors`. An image that would cover another one is
            drawn as a point.
        method: `"pca"`, or `"umap"` for cosine distances, which needs the extra `umap`.
        seed: Seed of UMAP.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`, 720 px wide.

    Raises:
        ImportError: If matplotlib or umap-learn is not installed (extras `viz` and `umap`).
        ValueError: If shapes do not fit together, or an embedding is not finite.

    Example:

    >>> x = np.random.default_rng(0).normal(size=(60, 8))
    >>> figure = keras_contrastive.viz.embeddings(x, labels=["cat", "dog"] * 30)
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['cat', 'dog']
    """
    _checks.one_of("method", method, ("pca", "umap"))
    rows, labels = _rows_and_labels(x, labels)
    pictures = None if images is None else as_images("images", images)
    if pictures is not None and len(pictures) != len(rows):
        raise ValueError(
            "`images` must have one image for each embedding. "
            f"Received: {len(pictures)} images, {len(rows)} embeddings."
        )
    if method == "pca":
        points, names = _principal_components(rows)
    else:
        points, names = _umap(rows, seed), ["UMAP 1", "UMAP 2"]
    groups = _groups_of(labels)
    texts = [title or "", *(name for name, _ in groups)]
    with new_figure(5.4 if title else 5.0, texts, layout="constrained") as figure:
        axes = figure.subplots()
        size = float(np.clip(3000 / len(points), 6, 36))  # square points
        styles = [(color, marker) for marker in _MARKERS for color in PALETTE]
        for place, (name, members) in enumerate(groups):
            color, marker = styles[place] if place < len(styles) else (OTHERS, "o")
            axes.scatter(
                *points[members].T,
                s=size,
                color=color,
                marker=marker,
                alpha=0.85,
                linewidths=0,
                label=_shortened(drawable(name)),
            )
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])
        axes.set_aspect("equal", adjustable="datalim")
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
        axes.margins(0.06)
        if labels is not None:
            legend = figure.legend(loc="outside right upper", handletextpad=0.2, borderaxespad=0.8)
            for handle in legend.legend_handles:
                handle.set_sizes([30])
        if title:
            figure.suptitle(drawable(title), x=0.01, ha="left", size=LARGE)
        if pictures is not None:
            _draw_pictures(figure, axes, points, pictures, groups, styles)
    return figure


def _rows_and_labels(x: Any, labels: Any) -> tuple[Array, Array | None]:
    """Returns all embeddings as float64 `(n, dim)`, and labels as strings or `None`."""
    if isinstance(x, Mapping):
        if labels is not None:
            raise ValueError(
                "`labels` must be `None` if `x` is a dict, whose colors are its names. Received: "
                "labels and a dict. Pass one modality, such as `x['image']`."
            )
        parts = {str(name): to_array(part) for name, part in x.items()}
        dims = {part.shape[1:] for part in parts.values()}
        if len(dims) != 1:
            raise ValueError(
                "`x` must have embeddings of the same size for each name. "
                f"Received: {_checks.listing({name: p.shape for name, p in parts.items()})}."
            )
        labels = np.repeat(list(parts), [len(part) for part in parts.values()])
        rows = np.concatenate(list(parts.values()))
    else:
        rows = to_array(x)
        labels = None if labels is None else np.asarray([str(label) for label in as_labels(labels)])
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(
            "`x` must be embeddings `(n, dim)` with at least two rows. "
            f"Received: shape {tuple(rows.shape)}."
        )
    rows = rows.astype("float64")
    if not np.isfinite(rows).all():
        count = int((~np.isfinite(rows).all(axis=1)).sum())
        raise ValueError(f"`x` must be finite. Received: {count} rows with NaN or infinity.")
    if labels is not None and len(labels) != len(rows):
        raise ValueError(
            "`labels` must have one label for each embedding. "
            f"Received: {len(labels)} labels, {len(rows)} embeddings."
        )
    return rows, labels


def _principal_components(rows: Array) -> tuple[Array, list[str]]:
    """Returns coordinates `(n, 2)` and names of the axes with shares of the variance."""
    centered = rows - rows.mean(axis=0)
    _, values, directions = np.linalg.svd(centered, full_matrices=False)
    directions, values = directions[:2], values**2
    # The sign of a direction is arbitrary. Its largest entry is positive in each run.
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
    points = np.zeros((len(rows), 2))
    points[:, : len(directions)] = centered @ directions.T
    shares = np.zeros(2)
    shares[: len(directions)] = values[:2] / max(values.sum(), 1e-300)
    names = [
        f"principal component {i + 1} ({share:.0%} of variance)" for i, share in enumerate(shares)
    ]
    return points, names


def _umap(rows: Array, seed: int) -> Array:
    require("umap", "umap")
    import umap

    neighbors = min(15, len(rows) - 1)
    # With a seed, UMAP uses one thread. It warns unless that is requested.
    model = umap.UMAP(n_neighbors=neighbors, metric="cosine", random_state=seed, n_jobs=1)
    return np.asarray(model.fit_transform(rows), "float64")


def _groups_of(labels: Array | None) -> list[tuple[str, Any]]:
    """Returns the rows of each label in the order of the labels, the rare ones as one group."""
    if labels is None:
        return [("", slice(None))]
    names, counts = np.unique(labels, return_counts=True)
    frequent = names[np.sort(np.argsort(-counts, kind="stable")[:_MOST_CLASSES])]
    groups = [(str(name), np.flatnonzero(labels == name)) for name in _in_order(frequent)]
    rest = np.flatnonzero(~np.isin(labels, frequent))
    return groups + ([(f"{len(names) - len(frequent)} others", rest)] if len(rest) else [])


def _in_order(names: Array) -> list[str]:
    """Returns names in alphabetical order, or by value if all are integers."""
    if all(name.lstrip("-").isdigit() for name in names):
        return sorted(names, key=int)
    return sorted(names)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 1] + "…"


def _draw_pictures(
    figure: Any, axes: Any, points: Array, pictures: list[Array], groups: Any, styles: Any
) -> None:
    """Draws images at points, unless they would overlap one that is drawn before."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    figure.draw_without_rendering()  # so that the axes have their final size
    side = 22.0  # points
    places = axes.transData.transform(points)  # pixels
    colors = {
        int(row): styles[place][0] if place < len(styles) else OTHERS
        for place, (_, members) in enumerate(groups)
        for row in np.arange(len(points))[members]
    }
    drawn = np.full((1, 2), np.inf)
    for row, (place, picture) in enumerate(zip(places, pictures, strict=True)):
        if np.abs(drawn - place).max(axis=1).min() < 1.2 * side * figure.dpi / 72:
            continue
        drawn = np.concatenate([drawn, place[None]])
        image = OffsetImage(picture, zoom=side / max(picture.shape[:2]))
        frame = {"edgecolor": colors[row] if len(groups) > 1 else FAINT, "linewidth": 1.2}
        axes.add_artist(AnnotationBbox(image, points[row], frameon=True, pad=0.1, bboxprops=frame))
