"""Characters and icons as fixed features of several modalities, with labels of the images."""

import pathlib
from typing import NamedTuple

import data as icons
import numpy as np

import keras_contrastive as kc

LABELS = 30  # the most frequent ones
ROWS = 3000  # of each split, for probes


class Modalities(NamedTuple):
    """Features by view, and the rows that belong together.

    The first modality has a second view, the name of which ends with `_augmented`.
    """

    views: dict[str, np.ndarray]
    items: dict[str, object]  # by split: function of a seed that returns `(items, views)` rows
    labels: dict[str, np.ndarray]  # of the rows of the first view, `""` for none
    split: np.ndarray

    def labeled(self, name, split):
        """Returns at most `ROWS` rows with a frequent label, and the labels as integers."""
        labels = self.labels[name]
        known, counts = np.unique(
            labels[(self.split == "train") & (labels != "")], return_counts=True
        )
        known = np.sort(known[np.argsort(-counts, kind="stable")[:LABELS]])
        rows = np.flatnonzero((self.split == split) & np.isin(labels, known))
        rows = np.random.default_rng(0).permutation(rows)[:ROWS]
        return rows, np.searchsorted(known, labels[rows])


def load(setting, folder, cache, source="iconify"):
    """Loads the features of `"glyphs"` or `"icons"`, computed once and stored in a file."""
    return _glyphs(cache) if setting == "glyphs" else _icons(folder, cache, source)


def _glyphs(cache):
    glyphs = kc.datasets.load_glyphs(verbose=False)
    glyphs = glyphs[(glyphs.definition != "") & (glyphs.pinyin != "")]
    train = np.flatnonzero(glyphs.split == "train")
    path = pathlib.Path(cache) / f"glyphs-{len(glyphs)}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        both = np.concatenate([glyphs.images[:, 0], glyphs.images[:, 1]])
        images = icons.vectors(both, np.concatenate([train, len(glyphs) + train]))
        # A reading is short: its letters apart, so that single letters count.
        readings = np.array([" ".join(reading) + " " + reading for reading in glyphs.pinyin])
        np.savez(
            path,
            image=images[: len(glyphs)],
            image_augmented=images[len(glyphs) :],
            definition=icons.ngrams(glyphs.definition, train),
            pinyin=icons.ngrams(readings, train, size=128),
        )
    views = dict(np.load(path))
    items = {}
    for split in ("train", "validation", "test"):
        rows = np.flatnonzero(glyphs.split == split)
        items[split] = lambda seed, rows=rows: np.repeat(rows[:, None], len(views), axis=1)
    labels = {"radical": np.array([str(number) for number in glyphs.radical])}
    return Modalities(views, items, labels, glyphs.split)


def _icons(folder, cache, source):
    data = icons.load(source, folder, cache, views="names")
    views = {"drawing": data.first, "drawing_augmented": data.first, "name": data.second}
    items = {}
    for split in data.rows:
        items[split] = lambda seed, split=split: data.items(split, seed)[0][:, [0, 1, 0]]
    size = len(data.first)
    labels = {"category": np.full(size, "", "<U80"), "set": np.full(size, "", "<U80")}
    where = np.full(size, "", "<U10")
    for split, rows in data.rows.items():
        where[rows] = split
        for name, values in labels.items():
            values[rows] = getattr(data.icons[split], name)
    return Modalities(views, items, labels, where)
