"""Controls without training: pixels and fixed edge features, and the names of neighbors."""

import numpy as np

from icon_parts import tower

PIXELS, EDGES = "no training, pixels", "no training, edge features"
NEIGHBORS, SHARPNESS = 5, 20.0


def without_training(drawings, learn, texts):
    """Returns the vectors of pixels and of edge features, and the names of neighbors by them.

    Returns:
        Dict from names to pairs; see `table.measure_all`.
    """
    small = tower.reduce(drawings.images)[..., 0]
    methods = {}
    for name, vectors in {PIXELS: pixels(small), EDGES: edge_features(small, learn)}.items():
        neighbors = texts_of_neighbors(vectors, vectors[learn], texts[learn])
        methods[name] = neighbors, vectors
    return methods


def pixels(small):
    """Returns unit vectors of the pixels of drawings, `(drawings, 32, 32)`."""
    return unit(small.reshape(len(small), -1).astype("float32"))


def edge_features(small, learn):
    """Returns unit vectors of edges in 8 directions, pooled over cells, and of pooled ink.

    Args:
        small: Drawings, `(drawings, 32, 32)` uint8.
        learn: Mask of the drawings whose mean and deviation are used.
    """
    starts = range(0, len(small), 2000)
    features = np.concatenate([_edges(small[start : start + 2000]) for start in starts])
    mean, deviation = features[learn].mean(axis=0), features[learn].std(axis=0)
    return unit((features - mean) / (deviation + 1e-3))


def _edges(small, directions=8):
    x = np.pad(small / np.float32(255), ((0, 0), (3, 3), (3, 3)))
    x = _pool(x, 3, 1)
    down, across = x[:, 2:, 1:-1] - x[:, :-2, 1:-1], x[:, 1:-1, 2:] - x[:, 1:-1, :-2]
    size = np.sqrt(down**2 + across**2 + 1e-12)
    angles = np.pi * np.arange(directions) / directions
    # Lines have no sense: an edge and its opposite count as one direction.
    along = [(across * np.cos(a) + down * np.sin(a)) / (size + 1e-4) for a in angles]
    cells = [np.sqrt(_pool(size * part**8, 6, 3) + 1e-4) for part in along]
    cells.append(_pool(x[:, 1:-1, 1:-1], 6, 3))
    return np.stack(cells, axis=-1).reshape(len(small), -1).astype("float32")


def _pool(x, size, stride):
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return windows[:, ::stride, ::stride].mean(axis=(3, 4))


def texts_of_neighbors(queries, known, texts, count=NEIGHBORS, sharpness=SHARPNESS):
    """Returns for each drawing the mean text vector of the most similar known drawings."""
    found = []
    for start in range(0, len(queries), 512):
        similarity = queries[start : start + 512] @ known.T
        nearest = np.argpartition(-similarity, count, axis=1)[:, :count]
        best = np.take_along_axis(similarity, nearest, axis=1)
        weights = np.exp(sharpness * (best - best.max(axis=1, keepdims=True)))
        found.append((texts[nearest] * weights[..., None]).sum(axis=1))
    return unit(np.concatenate(found))


def unit(x):
    """Returns rows of length 1."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
