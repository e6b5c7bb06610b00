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
    train_features: ArrayLike,
    train_labels: ArrayLike,
    test_features: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
    n_neighbors: int = 20,
    temperature: float | None = 0.07,
    k: Iterable[int] = (1,),
    shots: int | Sequence[int] | None = None,
    draws: int = 10,
    seed: int = 0,
    exclude_self: bool = False,
) -> dict[str, float]:
    """Classifies test rows by a vote of their nearest training rows, by cosine.

    Each of the nearest rows votes for its class with the weight `exp(cosine / temperature)`, or
    with equal weights. Ties count as errors. If a feature is NaN or infinite, all measures are NaN.
    Similarities are computed in tiles; see `keras_contrastive.config.set_tile_shape`.

    Args:
        train_features: Float array `(rows, dim)` with known labels.
        train_labels: Int array `(rows,)`.
        test_features: Float array `(test_rows, dim)`. `None` stands for the training rows, with
            `exclude_self=True`.
        test_labels: Int array `(test_rows,)`, the true labels. A class that is not in
            `train_labels` counts as an error.
        n_neighbors: Positive integer, the number of neighbors that vote. All rows vote if there are
            fewer.
        temperature: Positive float, or `None` for equal votes.
        k: Positive integers, the ranks at which the accuracy is reported.
        shots: `None` for all rows, or an integer or several. How many training rows of each class
            are drawn at random.
        draws: Positive integer, the number of draws.
        seed: Non-negative integer, the seed of the draws.
        exclude_self: Whether training row i is test row i, and no neighbor of it.

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
    >>> knn_probe(features, labels, features, labels, n_neighbors=1)
    {'top_1_accuracy': 1.0, 'mean_class_accuracy': 1.0}
    >>> knn_probe(features, labels, n_neighbors=1)["mean_class_accuracy"]  # each from the others
    0.5
    """
    train_features, train_labels = labeled_rows(
        train_features, train_labels, ("train_features", "train_labels")
    )
    if test_features is None and test_labels is None:
        test_features, test_labels, exclude_self = train_features, train_labels, True
    test_features, test_labels = labeled_rows(
        test_features, test_labels, ("test_features", "test_labels")
    )
    check_same_dim(train_features, test_features, ("train_features", "test_features"))
    n_neighbors = _checks.positive_int("n_neighbors", n_neighbors)
    if temperature is not None:
        temperature = _checks.positive("temperature", temperature, "Use `None` for equal votes.")
    k = checked_ranks(k)
    few_shot = FewShot(train_labels, shots, draws, seed)
    exclude_self = _checks.boolean("exclude_self", exclude_self)
    if exclude_self:
        _check_same_rows(train_labels, test_labels)

    def evaluate(rows: Array | None) -> dict[str, float]:
        known = np.arange(len(train_labels)) if rows is None else rows
        classes, columns = np.unique(train_labels[known], return_inverse=True)
        count = min(n_neighbors + exclude_self, len(known))
        cosines, found = search(test_features, train_features[known], count)
        if exclude_self:
            cosines, found = _without_self(cosines, found, known)
        votes = _log_votes(cosines, columns[found], len(classes), temperature)
        ranks = ranks_of_columns(votes, column_indices(test_labels, classes))
        return accuracies(ranks, test_labels, k)

    can_vote = all_finite(train_features, test_features)
    return few_shot.measures(accuracy_names(k), evaluate if can_vote else None)


def _check_same_rows(train_labels: Array, test_labels: Array) -> None:
    if not np.array_equal(train_labels, test_labels):
        raise ValueError(
            "`test_labels` must be `train_labels` if `exclude_self` is True, since both are the "
            "same rows in the same order. Received: different labels."
        )
    if len(train_labels) < 2:
        raise ValueError(
            "`train_labels` must be those of two rows or more if `exclude_self` is True. "
            "Received: one row."
        )


def _without_self(cosines: Array, found: Array, known: Array) -> tuple[Array, Array]:
    """Removes the row itself from the neighbors of each row, or else the last neighbor.

    Args:
        cosines: Float array `(rows, neighbors)`, in descending order.
        found: Int array `(rows, neighbors)`, places in `known`.
        known: Int array, the row numbers of the training rows.
    """
    is_self = known[found] == np.arange(len(found))[:, None]
    is_self[:, -1] |= ~is_self.any(axis=1)
    shape = len(found), found.shape[1] - 1
    return cosines[~is_self].reshape(shape), found[~is_self].reshape(shape)


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
    `n_neighbors`, `temperature`, `k`, `shots`, `draws`, `seed` and `exclude_self` of `knn_probe`.
    Without `x_test`, each row of `x_train` is classified by the others.

    Example:

    >>> encoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> noise = keras.layers.GaussianNoise(0.1)
    >>> model = keras_contrastive.ContrastiveTrainer(encoder, augmenters=noise)
    >>> model.compile("sgd", keras_contrastive.losses.NTXent())
    >>> x, labels = np.eye(2, dtype="float32"), np.array([0, 1])
    >>> probe = KNNProbe(x, labels, x, labels, n_neighbors=1)
    >>> history = model.fit(x, callbacks=[probe], verbose=0).history
    >>> [name for name in history if "knn" in name]
    ['val_knn_top_1_accuracy', 'val_knn_mean_class_accuracy']
    """

    name = "knn"
    function = staticmethod(knn_probe)
    reports_nan = True
    higher_is_better = ("accuracy",)
