"""k-NN probe: the classes of the nearest labeled neighbors."""

import numpy as np
from keras import ops

from keras_contrastive._engine import normalize
from keras_contrastive.evaluation._few_shot import few_shot
from keras_contrastive.evaluation._inputs import accuracies, columns_of, labeled, ranks_of, same_dim
from keras_contrastive.evaluation._probe import ProbeEvaluation


def knn_probe(
    features,
    labels,
    new_features,
    new_labels,
    neighbors=20,
    temperature=0.07,
    k=(1,),
    shots=None,
    draws=10,
    seed=0,
    tile=1024,
):
    """Classify new rows by a vote of their nearest labeled rows, by cosine.

    Each of the nearest `neighbors` rows votes for its class with the weight `exp(cosine / temperature)`, or equally.
    Ties are lost. No `(rows, rows)` matrix is formed: memory is that of a block of `(tile, tile)`.

    Args:
        features: Float array `(rows, dim)`, whose labels are known.
        labels: Int array `(rows,)`.
        new_features: Float array `(new_rows, dim)`.
        new_labels: Int array `(new_rows,)`. A class that `labels` lacks cannot be found, and counts as wrong.
        neighbors: How many vote; all, where there are fewer.
        temperature: Positive float, or `None` for equal votes.
        k: The ranks at which accuracy is reported.
        shots: `None` for all rows, or an int or several: so many labeled rows of each class, drawn at random.
        draws: How often they are drawn.
        seed: Of the draws.
        tile: Rows of a block.

    Returns:
        A dict of floats: `top_{k}_accuracy` and `mean_class_accuracy`. With `shots`, `{shots}_shot_...`, the means over
        the draws, and `{shots}_shot_..._error`, their standard errors.

    Raises:
        ValueError: Shapes or labels that do not belong together, arguments out of range, more shots than a class has
            rows.

    Reference:
        - [Wu et al., 2018](https://arxiv.org/abs/1805.01978), Sec. 3.4, where `neighbors` is 200 on ImageNet.

    Example:

    >>> features, labels = np.array([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 0, 1])
    >>> knn_probe(features, labels, features, labels, neighbors=1)
    {'top_1_accuracy': 1.0, 'mean_class_accuracy': 1.0}
    """
    features, labels = labeled(features, labels, "features")
    new_features, new_labels = labeled(new_features, new_labels, "new_features")
    same_dim(features, new_features, ("features", "new_features"))
    if isinstance(neighbors, bool) or not isinstance(neighbors, int) or neighbors < 1:
        raise ValueError(
            f"`neighbors` must be a positive integer. Received: neighbors={neighbors!r}."
        )
    if temperature is not None and not temperature > 0:
        raise ValueError(
            f"`temperature` must be positive, or `None`. Received: temperature={temperature}."
        )
    features, new_features = (
        normalize(ops.convert_to_tensor(x, "float32")) for x in (features, new_features)
    )

    def evaluate(rows):
        known = features if rows is None else ops.take(features, rows, axis=0)
        names, columns = np.unique(labels if rows is None else labels[rows], return_inverse=True)
        own = columns_of(new_labels, names)
        ranks = []
        for start in range(0, len(new_labels), tile):
            nearest, found = _nearest(
                new_features[start : start + tile], known, min(neighbors, len(columns)), tile
            )
            weights = (
                np.ones_like(nearest)
                if temperature is None
                else np.exp((nearest - 1) / temperature)
            )
            votes = np.zeros((len(nearest), len(names)))
            np.add.at(votes, (np.arange(len(nearest))[:, None], columns[found]), weights)
            ranks.append(ranks_of(votes, own[start : start + tile]))
        return accuracies(np.concatenate(ranks), new_labels, k)

    return evaluate(None) if shots is None else few_shot(evaluate, labels, shots, draws, seed)


def _nearest(queries, candidates, count, tile):
    """Cosines and row numbers of the nearest candidates, `(queries, count)` each, a tile of candidates at a time."""
    cosines, rows = (
        np.zeros((queries.shape[0], 0), "float32"),
        np.zeros((queries.shape[0], 0), "int64"),
    )
    for start in range(0, candidates.shape[0], tile):
        window = candidates[start : start + tile]
        similarities = ops.matmul(queries, ops.transpose(window))
        top, place = (
            ops.convert_to_numpy(x)
            for x in ops.top_k(similarities, min(count, window.shape[0]), sorted=True)
        )
        cosines, rows = (
            np.concatenate([cosines, top], axis=1),
            np.concatenate([rows, start + place], axis=1),
        )
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        cosines, rows = (
            np.take_along_axis(cosines, best, axis=1),
            np.take_along_axis(rows, best, axis=1),
        )
    return cosines, rows


class KNNProbe(ProbeEvaluation):
    """Classifies held-out rows by their nearest labeled neighbors at the end of each epoch.

    Its numbers join the epoch's `logs`: `val_knn_top_1_accuracy`, ... See `knn_probe`.

    Args:
        x: What the tower takes, as arrays, with known labels.
        labels: Int array `(rows,)`.
        new_x: The same, to be classified.
        new_labels: Int array `(new_rows,)`.
        modality: The name of the tower; `None` for a trainer with one encoder.
        projected: Whether the features are those after the projector. By default the encoder's own.
        batch_size: Batch size of the embedding.
        every: Evaluate at the end of each `every`-th epoch, and of no other.
        prefix: Start of the names.
        embed: `None`, or a function of the model and `x` that returns features, for models that are no
            `ContrastiveTrainer`.
        **kwargs: Of `knn_probe`: `neighbors`, `temperature`, `k`, `shots`, `draws`, `seed`, `tile`.

    Raises:
        ValueError, TypeError: Arguments out of range, a model without such a tower.

    Example:

    >>> encoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model = keras_contrastive.ContrastiveTrainer(encoder, augmenters=keras.layers.GaussianNoise(0.1))
    >>> model.compile("sgd", keras_contrastive.losses.NTXent())
    >>> x, labels = np.eye(2, dtype="float32"), np.array([0, 1])
    >>> history = model.fit(x, callbacks=[KNNProbe(x, labels, x, labels, neighbors=1)], verbose=0).history
    >>> [name for name in history if "knn" in name]
    ['val_knn_top_1_accuracy', 'val_knn_mean_class_accuracy']
    """

    name = "knn"

    def probe(self, *data):
        return knn_probe(*data, **self.settings)
