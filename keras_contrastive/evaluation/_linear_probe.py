"""Linear probe: logistic regression on frozen features."""

from collections.abc import Iterable, Sequence
from typing import Literal

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
from keras_contrastive.evaluation._logistic_regression import (
    Regression,
    check_scikit_learn,
    selected_c,
)
from keras_contrastive.evaluation._probe_evaluation import ProbeEvaluation


def linear_probe(
    train_features: ArrayLike,
    train_labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    C: float | Literal["auto"] = 1.0,  # noqa: N803
    k: Iterable[int] = (1,),
    shots: int | Sequence[int] | None = None,
    draws: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """Classifies test rows by logistic regression on training rows.

    It fits `sklearn.linear_model.LogisticRegression(C=C)` to convergence in float64. The intercept
    is not penalized. Features are not scaled, and the effect of `C` depends on their scale. If a
    feature is NaN or infinite, all measures are NaN. It needs scikit-learn:
    `pip install ".[eval]"` in the clone.

    Args:
        train_features: Float array `(rows, dim)` with known labels.
        train_labels: Int array `(rows,)`, of at least two classes.
        test_features: Float array `(test_rows, dim)`.
        test_labels: Int array `(test_rows,)`, the true labels. A class that is not in
            `train_labels` counts as an error.
        C: Positive float, the inverse strength of the regularization, as in scikit-learn.
            `"auto"` selects one of 1e-5, 1e-4, ..., 1e5: the one with the highest accuracy on a
            fifth of the training rows of each class, drawn with `seed`. Of equal ones, it takes the
            one with the lowest cross-entropy. It then fits all training rows.
        k: Positive integers, the ranks at which the accuracy is reported.
        shots: `None` for all rows, or an integer or several. How many training rows of each class
            are drawn at random.
        draws: Positive integer, the number of draws.
        seed: Non-negative integer, the seed of the draws and of the split for `C="auto"`.

    Returns:
        A dict of floats: `top_{k}_accuracy` and `mean_class_accuracy` in [0, 1], and
        `cross_entropy`, the mean over the test rows in nats. It is infinite if a test row has a
        class that is not in `train_labels`. With `C="auto"`, `C` is the selected value. With
        `shots`, the names start with `{shots}_shot_`, and the values are means over the draws. For
        several draws, `{shots}_shot_..._error` is the standard error.

    Raises:
        ImportError: If scikit-learn is not installed.
        TypeError: If labels are not integers, or an argument has the wrong type.
        ValueError: If shapes do not match, an argument is out of range, there is only one class, a
            class has fewer rows than `shots`, or no class has two rows for `C="auto"`.

    Reference:
        - [Radford et al., 2021](https://arxiv.org/abs/2103.00020), Sec. 3.2 and appendix A.3.

    Example:

    >>> features, labels = np.array([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 0, 1])
    >>> linear_probe(features, labels, features, labels, C=10.0)["top_1_accuracy"]
    1.0
    """
    check_scikit_learn()
    train_features, train_labels = labeled_rows(
        train_features, train_labels, ("train_features", "train_labels")
    )
    test_features, test_labels = labeled_rows(
        test_features, test_labels, ("test_features", "test_labels")
    )
    check_same_dim(train_features, test_features, ("train_features", "test_features"))
    k = checked_ranks(k)
    is_auto = isinstance(C, str) and C == "auto"
    if not is_auto:
        C = _checks.positive("C", C, 'Use `"auto"` to select it.')  # noqa: N806
    few_shot = FewShot(train_labels, shots, draws, seed)
    _check_classes(train_labels, is_auto, few_shot)

    def evaluate(rows: Array | None) -> dict[str, float]:
        known = slice(None) if rows is None else rows
        x, y = train_features[known], train_labels[known]
        strength = selected_c(x, y, seed) if is_auto else float(C)
        regression = Regression(x, y).fit(strength)
        log_probabilities = regression.log_probabilities(test_features)
        columns = column_indices(test_labels, regression.classes)
        log_likelihood = np.where(
            columns < 0, -np.inf, log_probabilities[np.arange(len(columns)), columns]
        )
        results = accuracies(ranks_of_columns(log_probabilities, columns), test_labels, k)
        results["cross_entropy"] = float(-log_likelihood.mean())
        return results | ({"C": strength} if is_auto else {})

    names = [*accuracy_names(k), "cross_entropy", *(["C"] if is_auto else [])]
    can_fit = all_finite(train_features, test_features)
    return few_shot.measures(names, evaluate if can_fit else None)


def _check_classes(labels: Array, is_auto: bool, few_shot: FewShot) -> None:
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise ValueError(
            "`train_labels` must contain at least two classes. "
            f"Received: labels of the classes {classes.tolist()}."
        )
    if is_auto and min([*few_shot.counts, counts.max()]) < 2:
        raise ValueError(
            "`C` must be a number if no class has two training rows, one of which is held out. "
            "Received: C='auto'. Use more rows or `shots`."
        )


class LinearProbe(ProbeEvaluation):
    """Classifies held-out inputs by logistic regression on features in epochs.

    It adds `val_linear_top_1_accuracy`, ... to `logs`. Arguments are those of `ProbeEvaluation`,
    and `C`, `k`, `shots`, `draws` and `seed` of `linear_probe`. It needs scikit-learn:
    `pip install ".[eval]"` in the clone.

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
