"""Softmax regression, solved to convergence."""

import numpy as np

_MEMORY = 10  # pairs of steps and gradients from which L-BFGS knows the curvature


class SoftmaxRegression:
    """Log-probabilities of classes, as a function of features; made by `softmax_regression`.

    Attributes:
        classes: The sorted labels, one for each column.
        weights: `(dim, classes)`.
        intercept: `(classes,)`.

    Example:

    >>> predict = softmax_regression(np.array([[-1.0], [1.0]]), np.array([3, 7]))
    >>> predict.classes, predict.weights.shape, np.exp(predict(np.zeros((1, 1)))).round(3)
    (array([3, 7]), (1, 2), array([[0.5, 0.5]]))
    """

    def __init__(self, classes, weights, intercept):
        self.classes = classes
        self.weights = weights
        self.intercept = intercept

    def __call__(self, features):
        """`(rows, dim)` to log-probabilities `(rows, classes)`."""
        return _log_softmax(np.asarray(features, "float64") @ self.weights + self.intercept)


def softmax_regression(features, labels, C=1.0, tolerance=1e-7, max_steps=10000):  # noqa: N803
    """Minimise `|W|^2 / 2 + C * (sum of cross-entropies)` over weights and an intercept, which is not penalized.

    Of two classes, as in scikit-learn, `W` is the one vector that tells them apart.

    Args:
        features: Float array `(rows, dim)`.
        labels: Int array `(rows,)`.
        C: Positive float, the inverse strength of the regularisation, as in scikit-learn.
        tolerance: The largest entry of the gradient of the mean loss at the end.
        max_steps: Raises if these are not enough.

    Returns:
        A `SoftmaxRegression`.

    Reference:
        - Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 7.4 and 7.5.

    Example:

    >>> predict = softmax_regression(np.array([[-1.0], [1.0]]), np.array([3, 7]))
    >>> predict.classes[predict(np.array([[0.5]])).argmax(axis=1)]
    array([7])
    """
    if not 0 < C < np.inf:
        raise ValueError(f"`C` must be positive and finite. Received: C={C}.")
    classes, columns = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"Softmax regression needs at least two classes. Received: the labels {classes.tolist()}."
        )
    rows, dim = features.shape
    # The intercept stands at the mean of the features, where weights and intercept hardly depend on each other.
    middle = features.mean(axis=0, dtype="float64")
    x = np.asarray(features, "float64") - middle
    # Two classes are told apart by the difference of two weights, of which scikit-learn penalises the square.
    decay = (2 if len(classes) == 2 else 1) / (C * rows)

    def loss_and_gradient(parameters):
        weights, intercept = parameters[:-1], parameters[-1]
        log_probabilities = _log_softmax(x @ weights + intercept)
        loss = -log_probabilities[np.arange(rows), columns].mean() + decay / 2 * (weights**2).sum()
        error = np.exp(log_probabilities)
        error[np.arange(rows), columns] -= 1
        error /= rows
        return loss, np.concatenate(
            [x.T @ error + decay * weights, error.sum(axis=0, keepdims=True)]
        )

    start = np.zeros((dim + 1, len(classes)))
    parameters = _lbfgs(loss_and_gradient, start, tolerance, max_steps)
    weights = parameters[:-1]
    return SoftmaxRegression(classes, weights, parameters[-1] - middle @ weights)


def _log_softmax(logits):
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def _lbfgs(loss_and_gradient, x, tolerance, max_steps):
    """The minimum of a smooth convex function."""
    loss, gradient = loss_and_gradient(x)
    pairs: list = []  # (step, change of the gradient, 1 / their product), the newest last
    for _ in range(max_steps):
        if np.abs(gradient).max() <= tolerance:
            return x
        direction = _two_loops(gradient, pairs)
        slope = (direction * gradient).sum()
        size = 1.0 if pairs else 1 / max(np.sqrt((gradient**2).sum()), 1.0)
        x, loss, gradient, pair = _search(
            loss_and_gradient, x, loss, gradient, direction, slope, size
        )
        if pair is None:  # no step is any better: this is the minimum, as far as float64 can tell
            return x
        if pair[2] > 0:
            pairs = [*pairs, pair][-_MEMORY:]
    raise ValueError(
        f"Softmax regression did not converge in {max_steps} steps. Standardise the features, or lower `C`. "
        f"Received: a gradient of {np.abs(gradient).max():.1e}."
    )


def _two_loops(gradient, pairs):
    """Minus the inverse Hessian, as the last steps show it, times the gradient."""
    direction, shares = -gradient, []
    for step, change, inverse in reversed(pairs):
        shares.append(inverse * (step * direction).sum())
        direction = direction - shares[-1] * change
    if pairs:
        step, change, inverse = pairs[-1]
        direction = direction / (inverse * (change**2).sum())
    for (step, change, inverse), share in zip(pairs, reversed(shares), strict=True):
        direction = direction + (share - inverse * (change * direction).sum()) * step
    return direction


def _search(loss_and_gradient, x, loss, gradient, direction, slope, size):
    """A step that lowers the loss enough and flattens the slope (weak Wolfe), by bisection."""
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
            return (
                new_x,
                new_loss,
                new_gradient,
                (step, change, 1 / product if product > 0 else 0.0),
            )
        size = 2 * size if high == np.inf else (low + high) / 2
    return x, loss, gradient, None
