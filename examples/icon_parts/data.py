"""Drawings of things by several artists, each with the vector of its name."""

import dataclasses
import pathlib

import numpy as np

import keras_contrastive as kc
from icon_parts import sentence_encoder

SIZE = 64  # pixels of a drawing; towers see half of it
NEW_ARTIST = "lucide"


@dataclasses.dataclass(frozen=True)
class Drawings:
    """Drawings with their names.

    Attributes:
        images: `(drawings, 64, 64)` uint8, ink is 255. A drawing fills its image.
        names: `(drawings,)` strings.
        concepts: `(drawings,)` integers, equal for equal names.
        artists: `(drawings,)`, the icon set.
        families: `(drawings,)`, the first word of the name.
        split: `(drawings,)`, `"train"`, `"validation"` or `"test"`. A family is in one split.
        texts: `(drawings, 384)`, unit vectors of the names.
    """

    images: np.ndarray
    names: np.ndarray
    concepts: np.ndarray
    artists: np.ndarray
    families: np.ndarray
    split: np.ndarray
    texts: np.ndarray

    def __len__(self):
        return len(self.names)

    def __getitem__(self, rows):
        fields = dataclasses.fields(self)
        return Drawings(*(getattr(self, field.name)[rows] for field in fields))


def load(cache, limit=None):
    """Loads all drawings, and encodes their names once.

    Args:
        cache: Folder for the vectors of the names.
        limit: `None`, or the number of drawings, for a quick run.
    """
    icons = kc.datasets.load_icons(size=SIZE)
    if limit:
        icons = icons[np.random.default_rng(0).permutation(len(icons))[:limit]]
    names, concepts = np.unique(icons.name, return_inverse=True)
    return Drawings(
        np.stack([fit_to_frame(image) for image in icons.images]),
        icons.name,
        concepts,
        icons.set,
        icons.family,
        icons.split,
        _cached_vectors(names, pathlib.Path(cache))[concepts],
    )


def fit_to_frame(image):
    """Crops the margin of a drawing and enlarges it to the same size, in its proportions."""
    from PIL import Image

    drawing = Image.fromarray(image)
    drawing = drawing.crop(drawing.getbbox())
    side = max(drawing.size)
    square = Image.new("L", (side, side))
    square.paste(drawing, ((side - drawing.width) // 2, (side - drawing.height) // 2))
    return np.asarray(square.resize(image.shape, Image.Resampling.BILINEAR))


def _cached_vectors(names, folder):
    path = folder / "names.npz"
    if path.exists():
        saved = np.load(path)
        if np.array_equal(saved["names"], names):
            return saved["vectors"]
    vectors = sentence_encoder.encode(names)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(path, names=names, vectors=vectors)
    return vectors
