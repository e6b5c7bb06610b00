"""Softmax regression, solved to convergence."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array, ArrayLike
from keras_contrastive.evaluation._inputs import check_finite, float_array, labeled_rows

_MEMORY = 10  # Number of last steps from which L-BFGS estimates the curvature.
_LossAndGradient: TypeAlias = Callable[[Array], tuple[float, Array]]
# A step, the change of the gradient along it, and 1 / their product (0 if that is not positive).
_Pair: TypeAlias = tuple[Array, Array, float]


class SoftmaxRegression:
    """Computes log-probabilities of classes from features. `softmax_regression` returns it.

    Args:
        classes: Int array `(classes,)`, the sorted labels.
        weights: Float array `(dim, classes)`.
        intercept: Float array `(classes,)`.

    Call arguments:
        features: Float array `(rows, dim)`.

    Returns:
        Float64 array `(rows, classes)`.

    Example:

    >>> predict = softmax_regression(np.array([[-1.0], [1.0]]), np.array([3, 7]))
    >>> predict.classes, predict.weights.shape, np.exp(predict(np.zeros((1, 1)))).round(3)
    (array([3, 7]), (1, 2), array([[0.5, 0.5]]))
    """

    def __init__(self, classes: Array, weights: Array, intercept: Array) -> None:
        self.classes = classes
        self.weights = weights
        self.intercept = intercept

    def __call__(self, features: ArrayLike) -> Array:
        """Returns log-probabilities `(rows, classes)` of features `(rows, dim)`."""
        features = float_array(features, "features").astype("float64")
        return _log_softmax(features @ self.weights + self.intercept)


def softmax_regression(
    features: ArrayLike,
    labels: ArrayLike,
    C: float = 1.0,  # noqa: N803
    tolerance: float = 1e-7,
    max_steps: int = 10000,
) -> SoftmaxRegression:
    """Fits softmax regression to convergence.

    It minimizes `|W|^2 / 2 + C * (sum of cross-entropies)` over weights and an intercept. The
    intercept is not penalized. For two classes, `W` is one vector, as in scikit-learn.

    Args:
        features: Float array `(rows, dim)`.
        labels: Int array `(rows,)`.
        C: Positive float, the inverse strength of the regularization, as in scikit-learn.
        tolerance: Positive float. The optimizer stops when no entry of the gradient of the mean
            loss is larger.
        max_steps: Positive integer, the maximum number of steps.

    Returns:
        A `SoftmaxRegression`.

    Raises:
        TypeError: If labels are not integers, or an argument has the wrong type.
        ValueError: If shapes do not match, features are not finite, `C` is not positive, there is
            only one class, or `max_steps` are not enough.

    Reference:
        - Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 7.4 and 7.5.

    Example:

    >>> predict = softmax_regression(np.array([[-1.0], [1.0]]), np.array([3, 7]))
    >>> predict.classes[predict(np.array([[0.5]])).argmax(axis=1)]
    array([7])
    """
    C = _checks.positive("C", C)  # noqa: N806
    _checks.positive("tolerance", tolerance)
    _checks.positive_int("max_steps", max_steps)
    features, labels = labeled_rows(features, labels, ("features", "labels"))
    check_finite(features, "features")
    check_classes(labels)
    classes, columns = np.unique(labels, return_inverse=True)
    rows, dim = features.shape
    # Centered features decouple the weights and the intercept, so the optimizer converges faster.
    center = features.mean(axis=0, dtype="float64")
    x = np.asarray(features, "float64") - center
    # For two classes, scikit-learn penalizes the square of the difference of both weight vectors.
    decay = (2 if len(classes) == 2 else 1) / (C * rows)

    def loss_and_gradient(parameters: Array) -> tuple[float, Array]:
        weights, intercept = parameters[:-1], parameters[-1]
        log_probabilities = _log_softmax(x @ weights + intercept)
        loss = -log_probabilities[np.arange(rows), columns].mean() + decay / 2 * (weights**2).sum()
        error = np.exp(log_probabilities)
        error[np.arange(rows), columns] -= 1
        error /= rows
        gradient = [x.T @ error + decay * weights, error.sum(axis=0, keepdims=True)]
        return loss, np.concatenate(gradient)

    start = np.zeros((dim + 1, len(classes)))
    parameters = _lbfgs(loss_and_gradient, start, tolerance, max_steps)
    weights = parameters[:-1]
    return SoftmaxRegression(classes, weights, parameters[-1] - center @ weights)


def check_classes(labels: Array) -> None:
    """Raises a `ValueError` if there is only one class."""
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(
            "`labels` must contain at least two classes. "
            f"Received: labels of the classes {classes.tolist()}."
        )


def _log_softmax(logits: Array) -> Array:
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def _lbfgs(
    loss_and_gradient: _LossAndGradient, x: Array, tolerance: float, max_steps: int
) -> Array:
    """Returns the minimum of a smooth convex function."""
    loss, gradient = loss_and_gradient(x)
    pairs: list[_Pair] = []  # the newest last
    for _ in range(max_steps):
        if np.abs(gradient).max() <= tolerance:
            return x
        direction = _two_loops(gradient, pairs)
        slope = (direction * gradient).sum()
        size = 1.0 if pairs else 1 / max(np.sqrt((gradient**2).sum()), 1.0)
        x, loss, gradient, pair = _search(
            loss_and_gradient, x, loss, gradient, direction, slope, size
        )
        if pair is None:  # No step lowers the loss: this is the minimum in float64.
            return x
        if pair[2] > 0:
            pairs = [*pairs, pair][-_MEMORY:]
    raise ValueError(
        f"Softmax regression did not converge in {max_steps} steps. "
        f"Received: a largest gradient of {np.abs(gradient).max():.1e}. "
        "Standardize the features, or use a lower `C`."
    )


def _two_loops(gradient: Array, pairs: list[_Pair]) -> Array:
    """Returns minus the estimated inverse Hessian times the gradient (Nocedal and Wright, 7.4)."""
    direction, weights = -gradient, []
    for step, change, inverse in reversed(pairs):
        weights.append(inverse * (step * direction).sum())
        direction = direction - weights[-1] * change
    if pairs:
        step, change, inverse = pairs[-1]
        direction = direction / (inverse * (change**2).sum())
    for (step, change, inverse), weight in zip(pairs, reversed(weights), strict=True):
        direction = direction + (weight - inverse * (change * direction).sum()) * step
    return direction


def _search(
    loss_and_gradient: _LossAndGradient,
    x: Array,
    loss: float,
    gradient: Array,
    direction: Array,
    slope: float,
    size: float,
) -> tuple[Array, float, Array, _Pair | None]:
    """Finds a step that satisfies the weak Wolfe conditions, by bisection.

    Args:
        loss_and_gradient: The function to minimize.
        x: Parameters before the step.
        loss: Loss at `x`.
        gradient: Gradient at `x`.
        direction: Direction of the step.
        slope: Derivative of the loss along `direction`.
        size: First factor of `direction` to try.

    Returns:
        Parameters, loss and gradient after the step, and the pair for L-BFGS. The pair is `None` if
        no step satisfies the conditions.
    """
    low, high = 0.0, np.inf
    for _ in range(50):
        new_x = x + size * direction
        new_loss, new_gradient = loss_and_gradient(new_x)
        if new_loss > loss + 1e-4 * size * slope:
            high = size
        elif (new_gradient * direction).sum() < 0.9 * slope:
            low = size
        else:
            step, change = new_x - x, new_gradient - gradient
            product = (step * change).sum()
            pair = step, change, 1 / product if product > 0 else 0.0
            return new_x, new_loss, new_gradient, pair
        size = 2 * size if high == np.inf else (low + high) / 2
    return x, loss, gradient, None
