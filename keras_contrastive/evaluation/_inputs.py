"""Embeddings of a corpus with what belongs together, checked once; and how often the right one is near the top."""

import numpy as np
from keras import ops

from keras_contrastive._engine import check_ids, normalize


def corpus(embeddings, ids, name):
    """Unit vectors and int32 ids as tensors; ids default to the row numbers."""
    embeddings = ops.convert_to_tensor(embeddings, dtype="float32")
    if len(embeddings.shape) != 2 or not embeddings.shape[0]:
        raise ValueError(
            f"`{name}` must have the shape `(rows, dim)`, with at least one row. "
            f"Received: {name}.shape={tuple(embeddings.shape)}."
        )
    ids = np.arange(embeddings.shape[0]) if ids is None else np.asarray(ids)
    if ids.shape != (embeddings.shape[0],) or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(
            f"Ids of the {name} must be integers, one for each of the {embeddings.shape[0]} rows. "
            f"Received: shape {ids.shape}, dtype {ids.dtype}."
        )
    check_ids(ids, name=f"ids of the {name}")
    return normalize(embeddings), ops.convert_to_tensor(ids, dtype="int32")


def labeled(features, labels, name):
    """NumPy features `(rows, dim)` and integer labels `(rows,)`."""
    features, labels = np.asarray(ops.convert_to_numpy(features)), np.asarray(labels)
    if features.ndim != 2 or not len(features):
        raise ValueError(
            f"`{name}` must have the shape `(rows, dim)`, with at least one row. "
            f"Received: {name}.shape={features.shape}."
        )
    if labels.shape != (len(features),) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"Labels of `{name}` must be integers, one for each of its {len(features)} rows. "
            f"Received: shape {labels.shape}, dtype {labels.dtype}. For names: `np.unique(names, return_inverse=True)`."
        )
    check_ids(labels, name=f"labels of `{name}`")
    if not np.isfinite(features).all():
        raise ValueError(f"`{name}` has values that are not finite. Has training diverged?")
    return features, labels


def same_dim(a, b, names):
    """Refuse two sets of rows that cannot be compared."""
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(
            f"`{names[0]}` and `{names[1]}` must have the same last dimension. "
            f"Received: {names[0]}.shape={tuple(a.shape)}, {names[1]}.shape={tuple(b.shape)}."
        )


def accuracies(ranks, labels, k):
    """Of ranks (1 is the best), `top_{k}_accuracy` for each k, and the mean over classes of the first."""
    results = {f"top_{n}_accuracy": float(np.mean(ranks <= n)) for n in k}
    _, place = np.unique(labels, return_inverse=True)
    return results | {
        "mean_class_accuracy": float(np.mean(np.bincount(place, ranks <= 1) / np.bincount(place)))
    }


def ranks_of(scores, columns):
    """The rank of a column in each row of scores; ties are lost, and so is a column that is not there (-1)."""
    own = scores[np.arange(len(scores)), columns]
    ranks = (scores >= own[:, None]).sum(axis=1)
    return np.where(columns < 0, np.iinfo("int32").max, ranks)


def columns_of(labels, names):
    """Where each label stands among sorted names; -1 where it does not."""
    places = np.minimum(np.searchsorted(names, labels), len(names) - 1)
    return np.where(names[places] == labels, places, -1)
