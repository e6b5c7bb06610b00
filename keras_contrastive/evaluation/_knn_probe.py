"""k-NN probe: a vote of the nearest labeled neighbors."""

from collections.abc import Iterable, Sequence

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array, ArrayLike
from keras_contrastive.evaluation._few_shot import FewShot
from keras_contrastive.evaluation._inputs import (
    accuracies,
    accuracy_names,
    all_finite,
    check_same_dim,
    checked_ranks,
    column_indices,
    labeled_rows,
    ranks_of_columns,
)
from keras_contrastive.evaluation._probe_evaluation import ProbeEvaluation
from keras_contrastive.evaluation._search import search


def knn_probe(
    features: ArrayLike,
    labels: ArrayLike,
    new_features: ArrayLike,
    new_labels: ArrayLike,
    neighbors: int = 20,
    temperature: float | None = 0.07,
    k: Iterable[int] = (1,),
    shots: int | Sequence[int] | None = None,
    draws: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """Classifies new rows by a vote of their nearest labeled rows, by cosine.

    Each of the nearest rows votes for its class with the weight `exp(cosine / temperature)`, or
    with equal weights. Ties count as errors. If a feature is NaN or infinite, all measures are NaN.
    Similarities are computed in tiles; see `keras_contrastive.config.set_tile_shape`.

    Args:
        features: Float array `(rows, dim)` with known labels.
        labels: Int array `(rows,)`, the labels of `features`.
        new_features: Float array `(new_rows, dim)`.
        new_labels: Int array `(new_rows,)`, the true labels of `new_features`. A class that is not
            in `labels` counts as an error.
        neighbors: Positive integer, the number of neighbors that vote. All rows vote if there are
            fewer.
        temperature: Positive float, or `None` for equal votes.
        k: Positive integers, the ranks at which the accuracy is reported.
        shots: `None` for all rows, or an integer or several. How many labeled rows of each class
            are drawn at random.
        draws: Positive integer, the number of draws.
        seed: Non-negative integer, the seed of the draws.

    Returns:
        A dict of floats in [0, 1]: `top_{k}_accuracy` and `mean_class_accuracy`. With `shots`, the
        names start with `{shots}_shot_`, and the values are means over the draws. For several
        draws, `{shots}_shot_..._error` is the standard error.

    Raises:
        TypeError: If labels are not integers, or an argument has the wrong type.
        ValueError: If shapes do not match, an argument is out of range, or a class has fewer rows
            than `shots`.

    Reference:
        - [Wu et al., 2018](https://arxiv.org/abs/1805.01978), Sec. 3.4, with 200 neighbors on
          ImageNet.

    Example:

    >>> features, labels = np.array([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 0, 1])
    >>> knn_probe(features, labels, features, labels, neighbors=1)
    {'top_1_accuracy': 1.0, 'mean_class_accuracy': 1.0}
    """
    features, labels = labeled_rows(features, labels, ("features", "labels"))
    new_features, new_labels = labeled_rows(
        new_features, new_labels, ("new_features", "new_labels")
    )
    check_same_dim(features, new_features, ("features", "new_features"))
    neighbors = _checks.positive_int("neighbors", neighbors)
    if temperature is not None:
        temperature = _checks.positive("temperature", temperature, "Use `None` for equal votes.")
    k = checked_ranks(k)
    few_shot = FewShot(labels, shots, draws, seed)

    def evaluate(rows: Array | None) -> dict[str, float]:
        known = features if rows is None else features[rows]
        classes, columns = np.unique(labels if rows is None else labels[rows], return_inverse=True)
        cosines, found = search(new_features, known, min(neighbors, len(columns)))
        votes = _log_votes(cosines, columns[found], len(classes), temperature)
        ranks = ranks_of_columns(votes, column_indices(new_labels, classes))
        return accuracies(ranks, new_labels, k)

    can_vote = all_finite(features, new_features)
    return few_shot.measures(accuracy_names(k), evaluate if can_vote else None)


def _log_votes(
    cosines: Array, columns: Array, num_classes: int, temperature: float | None
) -> Array:
    """Returns the log of the votes for each class, `(rows, num_classes)`.

    Args:
        cosines: Float array `(rows, neighbors)`.
        columns: Int array `(rows, neighbors)`, the classes of the neighbors.
        num_classes: The number of classes.
        temperature: Positive float, or `None` for equal votes.
    """
    cosines = cosines.astype("float64")
    with np.errstate(over="ignore"):  # A vote of exp(-inf) is right at a tiny temperature.
        logits = 0 * cosines if temperature is None else (cosines - cosines[:, :1]) / temperature
    votes = np.full((len(cosines), num_classes), -np.inf)
    # Votes stay logarithms, since at low temperatures exp(logit) is 0 for all but the nearest.
    np.logaddexp.at(votes, (np.arange(len(cosines))[:, None], columns), logits)
    return votes


class KNNProbe(ProbeEvaluation):
    """Classifies held-out inputs by their nearest labeled neighbors at the end of epochs.

    It adds `val_knn_top_1_accuracy`, ... to `logs`. Arguments are those of `ProbeEvaluation`, and
    `neighbors`, `temperature`, `k`, `shots`, `draws` and `seed` of `knn_probe`.

    Example:

    >>> encoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> noise = keras.layers.GaussianNoise(0.1)
    >>> model = keras_contrastive.ContrastiveTrainer(encoder, augmenters=noise)
    >>> model.compile("sgd", keras_contrastive.losses.NTXent())
    >>> x, labels = np.eye(2, dtype="float32"), np.array([0, 1])
    >>> probe = KNNProbe(x, labels, x, labels, neighbors=1)
    >>> history = model.fit(x, callbacks=[probe], verbose=0).history
    >>> [name for name in history if "knn" in name]
    ['val_knn_top_1_accuracy', 'val_knn_mean_class_accuracy']
    """

    name = "knn"
    function = staticmethod(knn_probe)
    reports_nan = True
    higher_is_better = ("accuracy",)
