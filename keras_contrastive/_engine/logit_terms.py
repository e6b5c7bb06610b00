"""What is summed over the logits of a row or a column, and how it is differentiated.

Each kind sums terms `value(x)` of `x = logit - reference`. `mask` first moves x where it must not count to
where the term vanishes, and turns its sign where the kind says so; `same` tells the pairs with the same id,
`dropped` (or `None`) those to be left out whatever the kind.
"""

import math

from keras import ops

LOWEST = -3e38 / 4  # a quarter of the range: twice its negative is still finite
_LOG_CAP = -0.01  # log of the largest share whose logarithm of the complement is taken as it is
_LOG_AT_CAP, _STEEPEST = math.log(-math.expm1(_LOG_CAP)), -1 / math.expm1(-_LOG_CAP)


class Sum:
    """A plain sum over the negatives."""

    start = 0.0
    counts_same = False  # whether candidates with the anchor's id count

    @staticmethod
    def mask(x, same, dropped):
        hidden = _either(same, dropped)
        return x if hidden is None else ops.where(hidden, LOWEST, x)

    @classmethod
    def total(cls, x, axis):
        """The sum over the terms of a tile."""
        return ops.sum(cls.value(x), axis=axis)

    @staticmethod
    def combine(total, other):
        """The sum over the terms of two tiles; never differentiated."""
        return total + other

    @staticmethod
    def over(totals):
        """The sum over candidates of several sorts, from `(sorts, ...)`."""
        return ops.sum(totals, axis=0)

    @staticmethod
    def value(x):
        raise NotImplementedError

    @staticmethod
    def slope(x, same):
        """Derivative of a term for the logit; `same` is there for kinds that turn the sign."""
        raise NotImplementedError


class LogSumExp(Sum):
    """Log of the sum of exp(logit) over the negatives. With itself as the reference, `slope` is the softmax."""

    start = LOWEST

    @staticmethod
    def total(x, axis):
        return ops.logsumexp(x, axis=axis)

    @staticmethod
    def combine(total, other):
        return ops.logaddexp(total, other)

    @staticmethod
    def over(totals):
        return ops.logsumexp(
            totals, axis=0
        )  # whose gradient is right at ties, as that of `logaddexp` is not everywhere

    @staticmethod
    def slope(x, same):
        return ops.exp(x)


class LogComplements(Sum):
    """log(1 - exp(x)) of the negatives, for x <= 0.

    Beyond a share exp(x) of 0.99 the logarithm is continued by its tangent, so that a single dominating
    negative gives a large gradient, not an infinite one.
    """

    @staticmethod
    def value(x):
        tangent = _LOG_AT_CAP + _STEEPEST * (x - _LOG_CAP)
        return ops.where(x > _LOG_CAP, tangent, ops.log1p(-ops.exp(ops.minimum(x, _LOG_CAP))))

    @staticmethod
    def slope(x, same):
        return -1 / ops.expm1(-ops.minimum(x, _LOG_CAP))


class NegativeEntropy(Sum):
    """exp(x) * x of the negatives: with the log-partition as the reference, the sum of p log p."""

    @staticmethod
    def value(x):
        return x * ops.exp(x)

    @staticmethod
    def slope(x, same):
        return (1 + x) * ops.exp(x)


class PositiveSoftplus(Sum):
    """log(1 + exp(-x)) of the positives."""

    counts_same = True

    @staticmethod
    def mask(x, same, dropped):
        if same is None:  # nobody is positive
            return ops.full_like(x, -LOWEST)
        counts = same if dropped is None else ops.logical_and(same, ops.logical_not(dropped))
        return ops.where(counts, x, -LOWEST)

    @staticmethod
    def value(x):
        return ops.softplus(-x)

    @staticmethod
    def slope(x, same):
        return -ops.sigmoid(-x)


class SigmoidCrossEntropy(Sum):
    """log(1 + exp(x)) of the negatives and log(1 + exp(-x)) of the positives."""

    counts_same = True

    @staticmethod
    def mask(x, same, dropped):
        x = x if same is None else ops.where(same, -x, x)
        return x if dropped is None else ops.where(dropped, LOWEST, x)

    @staticmethod
    def value(x):
        return ops.softplus(x)

    @staticmethod
    def slope(x, same):
        slope = ops.sigmoid(x)
        return slope if same is None else ops.where(same, -slope, slope)


def _either(same, dropped):
    if same is None:
        return dropped
    return same if dropped is None else ops.logical_or(same, dropped)
