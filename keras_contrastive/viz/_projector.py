"""Files for the embedding projector of TensorBoard."""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_contrastive._typing import Array, ArrayLike
from keras_contrastive.viz._items import Items, as_images, as_labels, to_array
from keras_contrastive.viz._style import require

_LARGEST_SPRITE = 8192  # pixels, the limit of the projector


def projector(
    folder: str | os.PathLike[str],
    x: ArrayLike,
    labels: Sequence[Any] | ArrayLike | Mapping[str, Any] | None = None,
    images: Items | None = None,
    name: str = "embeddings",
) -> pathlib.Path:
    """Writes the files of TensorBoard's embedding projector, an interactive map of embeddings.

    The files are `tensors.tsv`, `metadata.tsv` (with `labels`), `sprite.png` (with `images`) and
    `projector_config.pbtxt`. Look at them with `tensorboard --logdir FOLDER`, or upload the first
    two at https://projector.tensorflow.org. TensorBoard is not needed to write them.

    Args:
        folder: The folder of the files. It is made if it does not exist. Files of earlier calls are
            replaced.
        x: Embeddings `(n, dim)`.
        labels: `None`, `(n,)` labels, or a dict from names of columns to `(n,)` values.
        images: `None`, or `n` images. See `neighbors`. They are scaled to at most 64 px.
        name: Name of the embeddings in TensorBoard.

    Returns:
        The folder.

    Raises:
        ImportError: If there are images and pillow is not installed (extra `viz`).
        ValueError: If the numbers of rows differ, or there are too many images for one sprite.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> path = keras_contrastive.viz.projector(folder, np.eye(3), labels=["a", "b", "c"])
    >>> sorted(file.name for file in path.iterdir())
    ['metadata.tsv', 'projector_config.pbtxt', 'tensors.tsv']
    """
    rows = to_array(x)
    if rows.ndim != 2:
        raise ValueError(f"`x` must be embeddings `(n, dim)`. Received: shape {rows.shape}.")
    lines = None if labels is None else _metadata(labels, len(rows))
    pictures = None if images is None else as_images("images", images)
    if pictures is not None:
        _check_count("images", "image", len(pictures), len(rows))
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "tensors.tsv", ["\t".join(f"{value:.8g}" for value in row) for row in rows])
    config = [f"tensor_name: {_quoted(name)}", 'tensor_path: "tensors.tsv"']
    if lines is not None:
        _write(folder / "metadata.tsv", lines)
        config.append('metadata_path: "metadata.tsv"')
    if pictures is not None:
        side = _write_sprite(folder / "sprite.png", pictures)
        size = f"single_image_dim: {side} single_image_dim: {side}"
        config.append(f'sprite {{ image_path: "sprite.png" {size} }}')
    _write(folder / "projector_config.pbtxt", ["embeddings {", *(f"  {c}" for c in config), "}"])
    return folder


def _metadata(labels: Any, count: int) -> list[str]:
    """Returns the lines of the metadata: one column without a header, or several with one."""
    if not isinstance(labels, Mapping):
        _check_count("labels", "label", len(labels), count)
        return [_cell(label) for label in as_labels(labels)]
    for name, column in labels.items():
        _check_count(f"labels[{name!r}]", "label", len(column), count)
    columns = {_cell(name): [_cell(value) for value in as_labels(c)] for name, c in labels.items()}
    lines = ["\t".join(cells) for cells in zip(*columns.values(), strict=True)]
    # The projector expects a header if there are several columns, and none for a single one.
    return ["\t".join(columns), *lines] if len(columns) > 1 else lines


def _cell(value: Any) -> str:
    # An empty line would end the metadata.
    return " ".join(str(value).split()) or "-"


def _quoted(name: str) -> str:
    return '"' + _cell(name).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write(path: pathlib.Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _write_sprite(path: pathlib.Path, pictures: list[Array]) -> int:
    """Writes all images in a square grid, row by row. Returns their size in pixels."""
    require("PIL", "viz")
    from PIL import Image

    columns = math.ceil(math.sqrt(len(pictures)))
    side = min(64, _LARGEST_SPRITE // columns, max(max(p.shape[:2]) for p in pictures))
    if side < 8:
        raise ValueError(
            f"`images` must be at most {(_LARGEST_SPRITE // 8) ** 2} images. "
            f"Received: {len(pictures)} images. Pass a sample of the rows."
        )
    sprite = Image.new("RGB", (columns * side, columns * side), "white")
    for place, picture in enumerate(pictures):
        image = Image.fromarray(np.ascontiguousarray(picture))
        scale = side / max(image.size)
        size = [max(round(length * scale), 1) for length in image.size]
        image = image.resize(
            size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
        )
        corner = [(side - length) // 2 for length in size]
        sprite.paste(
            image, (place % columns * side + corner[0], place // columns * side + corner[1])
        )
    sprite.save(path)
    return side


def _check_count(argument: str, what: str, found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(
            f"`{argument}` must have one {what} for each embedding. "
            f"Received: {found} {what}s, {expected} embeddings."
        )
