"""Linear probe: softmax regression on frozen features."""

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
from keras_contrastive.evaluation._softmax_regression import check_classes, softmax_regression


def linear_probe(
    features: ArrayLike,
    labels: ArrayLike,
    new_features: ArrayLike,
    new_labels: ArrayLike,
    C: float = 1.0,  # noqa: N803
    k: Iterable[int] = (1,),
    shots: int | Sequence[int] | None = None,
    draws: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """Classifies new rows by softmax regression on labeled rows.

    It minimizes `|W|^2 / 2 + C * (sum of cross-entropies)` to convergence by L-BFGS in float64, as
    scikit-learn's `LogisticRegression(C=C)`. The intercept is not penalized. Features are not
    scaled, and the effect of `C` depends on their scale. Choose `C` on a validation set, or
    standardize the features. If a feature is NaN or infinite, all measures are NaN.

    Args:
        features: Float array `(rows, dim)` with known labels.
        labels: Int array `(rows,)`, the labels of `features`, of at least two classes.
        new_features: Float array `(new_rows, dim)`.
        new_labels: Int array `(new_rows,)`, the true labels of `new_features`. A class that is not
            in `labels` counts as an error.
        C: Positive float, the inverse strength of the regularization, as in scikit-learn.
        k: Positive integers, the ranks at which the accuracy is reported.
        shots: `None` for all rows, or an integer or several. How many labeled rows of each class
            are drawn at random.
        draws: Positive integer, the number of draws.
        seed: Non-negative integer, the seed of the draws.

    Returns:
        A dict of floats: `top_{k}_accuracy` and `mean_class_accuracy` in [0, 1], and
        `cross_entropy`, the mean over the new rows in nats. It is infinite if a new row has a class
        that is not in `labels`. With `shots`, the names start with `{shots}_shot_`, and the values
        are means over the draws. For several draws, `{shots}_shot_..._error` is the standard error.

    Raises:
        TypeError: If labels are not integers, or an argument has the wrong type.
        ValueError: If shapes do not match, an argument is out of range, there is only one class, or
            a class has fewer rows than `shots`.

    Reference:
        - [Radford et al., 2021](https://arxiv.org/abs/2103.00020), Sec. 3.2 and appendix A.3.

    Example:

    >>> features, labels = np.array([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 0, 1])
    >>> linear_probe(features, labels, features, labels, C=10.0)["top_1_accuracy"]
    1.0
    """
    features, labels = labeled_rows(features, labels, ("features", "labels"))
    new_features, new_labels = labeled_rows(
        new_features, new_labels, ("new_features", "new_labels")
    )
    check_same_dim(features, new_features, ("features", "new_features"))
    k = checked_ranks(k)
    C = _checks.positive("C", C)  # noqa: N806
    check_classes(labels)
    few_shot = FewShot(labels, shots, draws, seed)

    def evaluate(rows: Array | None) -> dict[str, float]:
        known = slice(None) if rows is None else rows
        predict = softmax_regression(features[known], labels[known], C)
        log_probabilities = predict(new_features)
        columns = column_indices(new_labels, predict.classes)
        log_likelihood = np.where(
            columns < 0, -np.inf, log_probabilities[np.arange(len(columns)), columns]
        )
        results = accuracies(ranks_of_columns(log_probabilities, columns), new_labels, k)
        return results | {"cross_entropy": float(-log_likelihood.mean())}

    can_fit = all_finite(features, new_features)
    return few_shot.measures([*accuracy_names(k), "cross_entropy"], evaluate if can_fit else None)


class LinearProbe(ProbeEvaluation):
    """Classifies held-out inputs by softmax regression on features at the end of epochs.

    It adds `val_linear_top_1_accuracy`, ... to `logs`. Arguments are those of `ProbeEvaluation`,
    and `C`, `k`, `shots`, `draws` and `seed` of `linear_probe`.

    Example:

    >>> encoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> noise = keras.layers.GaussianNoise(0.1)
    >>> model = keras_contrastive.ContrastiveTrainer(encoder, augmenters=noise)
    >>> model.compile("sgd", keras_contrastive.losses.NTXent())
    >>> x, labels = np.eye(2, dtype="float32"), np.array([0, 1])
    >>> probe = LinearProbe(x, labels, x, labels, C=10.0)
    >>> history = model.fit(x, callbacks=[probe], verbose=0).history
    >>> [name for name in history if "linear" in name]
    ['val_linear_top_1_accuracy', 'val_linear_mean_class_accuracy', 'val_linear_cross_entropy']
    """

    name = "linear"
    function = staticmethod(linear_probe)
    reports_nan = True
    higher_is_better = ("accuracy",)
    lower_is_better = ("cross_entropy",)
