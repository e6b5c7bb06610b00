"""Logistic regression of scikit-learn, and the choice of its regularization."""

from typing import Any

import numpy as np

from keras_contrastive._typing import Array

# The values of `C` that are compared.
GRID = tuple(10.0**exponent for exponent in range(-5, 6))
_HELD_OUT = 0.2  # share of the rows of each class


def check_scikit_learn() -> None:
    """Raises an `ImportError` if scikit-learn is not installed."""
    try:
        import sklearn.linear_model  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "The linear probe needs scikit-learn, which is not installed. "
            'Run `pip install ".[eval]"` in the clone.'
        ) from error


class Regression:
    """Logistic regression on rows that are centered, so that the optimizer converges faster.

    Args:
        features: Float array `(rows, dim)`.
        labels: Int array `(rows,)`, of at least two classes.
    """

    def __init__(self, features: Array, labels: Array) -> None:
        from sklearn.linear_model import LogisticRegression

        self._center = features.mean(axis=0, dtype="float64")
        self._features = features - self._center
        self._labels = labels
        # Each fit starts at the last solution.
        self._model: Any = LogisticRegression(tol=1e-6, max_iter=10_000, warm_start=True)

    def fit(self, C: float) -> "Regression":  # noqa: N803
        """Fits the rows with the inverse regularization strength `C`."""
        self._model.set_params(C=float(C)).fit(self._features, self._labels)
        return self

    @property
    def classes(self) -> Array:
        """The sorted labels, int `(classes,)`."""
        return self._model.classes_

    def log_probabilities(self, features: Array) -> Array:
        """Returns float64 `(rows, classes)` of features `(rows, dim)`."""
        logits = self._model.decision_function(features - self._center)
        if logits.ndim == 1:  # two classes: the logit of the second
            logits = np.stack([np.zeros_like(logits), logits], axis=1)
        logits = logits - logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def selected_c(features: Array, labels: Array, seed: int) -> float:
    """Returns the `C` of `GRID` with the highest accuracy on held-out rows.

    Of equal ones, it is the one with the lowest cross-entropy.

    Args:
        features: Float array `(rows, dim)`.
        labels: Int array `(rows,)`. A class with two rows, at least.
        seed: Seed of the split, which holds out a fifth of the rows of each class.
    """
    is_held = _held_out(labels, seed)
    regression = Regression(features[~is_held], labels[~is_held])
    columns = np.searchsorted(np.unique(labels), labels[is_held])
    scores = []
    for strength in GRID:
        log_probabilities = regression.fit(strength).log_probabilities(features[is_held])
        accuracy = np.mean(log_probabilities.argmax(axis=1) == columns)
        scores.append((accuracy, log_probabilities[np.arange(len(columns)), columns].mean()))
    return GRID[max(range(len(GRID)), key=scores.__getitem__)]


def _held_out(labels: Array, seed: int) -> Array:
    """Returns which rows are held out, bool `(rows,)`. Each class keeps one row, at least."""
    rng = np.random.default_rng(seed)
    is_held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) > 1:
            is_held[rows[: max(1, round(_HELD_OUT * len(rows)))]] = True
    return is_held
