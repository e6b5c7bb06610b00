"""Icons as vectors, and pairs of drawings of one concept by two sets."""

import hashlib
import pathlib
from typing import NamedTuple

import numpy as np
from keras import ops

import keras_contrastive as kc

INPUTS = 256
FOLDER = "node_modules/@iconify/json"  # of the npm package, for `source="iconify"`


class Data(NamedTuple):
    """Inputs of both towers and the drawings of each split.

    `first` and `second` are `(drawings, inputs)`. They are one array if both views are drawings.
    """

    icons: dict[str, kc.datasets.Icons]  # by split
    rows: dict[str, np.ndarray]  # the rows of `first` and `second`, by split
    first: np.ndarray
    second: np.ndarray

    def items(self, split, seed=0):
        """Returns rows of the two views, `(concepts, 2)`, and the families, `(concepts,)`."""
        icons, rows = self.icons[split], self.rows[split]
        pairs = icons.pairs(seed)
        return rows[pairs], icons.family[pairs[:, 0]]

    @property
    def num_concepts(self):
        return len(self.icons["train"].pairs(0))


def load(source="iconify", folder=FOLDER, cache="out", fold=0, views="drawings", inputs="features"):
    """Loads the icons of a source, with the features of each drawing.

    Args:
        source: `"iconify"` or `"pypi"`.
        folder: Folder of the npm package.
        cache: Folder for the features, which are computed once for each fold.
        fold: 0 to 4. The test splits of the five folds have no family in common.
        views: `"drawings"`, two drawings of a concept, or `"names"`, a drawing and the name.
        inputs: `"features"`, principal components of oriented gradients, or `"pixels"`.
    """
    icons = kc.datasets.load_icons(source=source, folder=folder, verbose=False)
    split = icons.split if fold == 0 else kc.datasets.split_families(icons.family, fold)
    # Identical drawings with names in two families would be in two splits.
    drawings = np.unique(icons.images.reshape(len(icons), -1), axis=0, return_inverse=True)[1]
    used = {name: np.isin(drawings, drawings[split == name]) for name in ("validation", "test")}
    rows = {
        "train": np.flatnonzero((split == "train") & ~used["validation"] & ~used["test"]),
        "validation": np.flatnonzero((split == "validation") & ~used["test"]),
        "test": np.flatnonzero(split == "test"),
    }
    if inputs == "pixels":
        first = icons.images[..., None]
    else:
        first = _cached(
            cache, f"{source}-{fold}", icons, lambda: vectors(icons.images, rows["train"])
        )
    second = first
    if views == "names":
        make = lambda: ngrams(icons.name, rows["train"])  # noqa: E731
        second = _cached(cache, f"{source}-{fold}-names", icons, make)
    return Data({name: icons[found] for name, found in rows.items()}, rows, first, second)


def without_training(data, split="test"):
    """Returns the unit vectors of both drawings of each concept: the features as they are."""
    rows, families = data.items(split)
    views = [np.asarray(data.first[rows[:, view]], "float32") for view in (0, 1)]
    views = [x.reshape(len(x), -1) for x in views]
    return [x / np.linalg.norm(x, axis=1, keepdims=True) for x in views], families


def oriented_gradients(images):
    """Returns histograms of oriented gradients in soft cells, and coarse pixels.

    Args:
        images: `(drawings, 32, 32)` uint8.
    """

    def pool(x, size, stride, padding="valid"):
        return ops.convert_to_numpy(ops.average_pool(x, size, stride, padding=padding))

    x = pool(np.pad(images[..., None] / np.float32(255), [(0, 0), (1, 1), (1, 1), (0, 0)]), 3, 1)
    across = x[:, 1:-1, 2:] - x[:, 1:-1, :-2]
    down = x[:, 2:, 1:-1] - x[:, :-2, 1:-1]
    size, angle = np.hypot(across, down), np.arctan2(down, across) % np.pi / np.pi * 8
    lower = np.floor(angle)
    share = angle - lower
    bins = [
        size * ((lower % 8 == b) * (1 - share) + ((lower + 1) % 8 == b) * share) for b in range(8)
    ]
    padded = np.pad(np.concatenate(bins, -1), [(0, 0), (1, 1), (1, 1), (0, 0)])
    cells = pool(padded, 6, 3).reshape(len(images), -1)
    cells /= np.linalg.norm(cells, axis=1, keepdims=True) + 0.1
    pixels = pool(x, 3, 3).reshape(len(images), -1)
    return np.concatenate([np.sqrt(cells), 0.06 * pixels], axis=1).astype("float32")


def _cached(folder, name, icons, compute):
    """Returns an array from a file. The name of the file has a hash of the drawings."""
    digest = hashlib.sha256(icons.images[::97].tobytes() + str(len(icons)).encode()).hexdigest()
    path = pathlib.Path(folder) / f"icons-{name}-{digest[:8]}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, compute())
    return np.load(path)


def vectors(images, train):
    """Returns principal components of the oriented gradients of each image."""
    starts = range(0, len(images), 2000)
    z = np.concatenate([oriented_gradients(images[i : i + 2000]) for i in starts])
    z -= z[train].mean(axis=0)
    sample = z[np.random.default_rng(0).permutation(train)[:20_000]]
    # Eigenvectors of the covariance are in increasing order.
    main = np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, :INPUTS]
    return _scaled(z @ main, train)


def ngrams(names, train, size=INPUTS):
    """Returns principal components of the words and 4-grams of each text."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    def parts(name):
        marked = [f"^{word}$" for word in name.split()]
        grams = [w[i : i + 4] for w in marked for i in range(max(1, len(w) - 3))]
        return name.split() + grams

    counts = TfidfVectorizer(analyzer=parts, min_df=3, sublinear_tf=True).fit(names[train])
    svd = TruncatedSVD(size, n_iter=2, random_state=0).fit(counts.transform(names[train]))
    return _scaled(svd.transform(counts.transform(names)), train)


def _scaled(z, train):
    """Returns vectors whose components have more equal variances, with a mean square of 1."""
    z = z - z[train].mean(axis=0)
    z = z / np.sqrt(z[train].std(axis=0) + 1e-6)
    return (z / np.sqrt(np.mean(z[train] ** 2))).astype("float32")
