"""Terms that are summed over the logits of a row or a column, and their derivatives.

Each class sums terms `value(x)` of `x = logit - reference`. `mask` first moves the x of pairs that
do not count to a point where the term vanishes, and flips the sign of x where the term needs it.
`same` marks the pairs with equal ids, `dropped` (or `None`) the pairs that never count.
"""

import functools
import math

from keras import ops

from keras_contrastive._engine.numerics import LOWEST
from keras_contrastive._typing import Tensor

_LOG_CAP = -0.01  # log of the largest share for which log(1 - share) is computed directly
_LOG_AT_CAP, _STEEPEST = math.log(-math.expm1(_LOG_CAP)), -1 / math.expm1(-_LOG_CAP)


class LogitTerms:
    """Base class: a plain sum over the negatives."""

    start = 0.0  # the sum over no terms
    counts_same = False  # whether candidates with the anchor's id count
    has_one_reference = False  # whether all rows and columns have the same reference
    reference_is_log_sum = False  # whether `slope` expects the sum itself as the reference
    is_curved = False  # whether the terms depend on a `curve` of the logit

    @staticmethod
    def mask(x: Tensor, same: Tensor | None, dropped: Tensor | None) -> Tensor:
        """Moves the x of pairs that do not count to a point where the term vanishes."""
        hidden = either(same, dropped)
        return x if hidden is None else ops.where(hidden, LOWEST, x)

    @staticmethod
    def curve(logits: Tensor) -> Tensor:
        """Returns the function of the logits that stands in their place."""
        return logits

    @staticmethod
    def curve_slope(logits: Tensor) -> Tensor:
        """Returns the derivative of `curve`."""
        return ops.ones_like(logits)

    @classmethod
    def total(cls, x: Tensor, axis: int) -> Tensor:
        """Sums the terms of a tile along an axis."""
        return ops.sum(cls.value(x), axis=axis)

    @staticmethod
    def combine(total: Tensor, other: Tensor) -> Tensor:
        """Adds the sums of two tiles. It is never differentiated."""
        return total + other

    @staticmethod
    def over(totals: Tensor) -> Tensor:
        """Adds sums over several kinds of candidates, from `(kinds, ...)`."""
        return ops.sum(totals, axis=0)

    @staticmethod
    def value(x: Tensor) -> Tensor:
        """Returns the terms."""
        raise NotImplementedError

    @staticmethod
    def slope(x: Tensor, same: Tensor | None) -> Tensor:
        """Returns the derivative of the terms with respect to the logit."""
        raise NotImplementedError


class LogSumExp(LogitTerms):
    """Log of the sum of exp(logit) over the negatives.

    With the sum itself as the reference, `slope` is the softmax.
    """

    start = LOWEST
    reference_is_log_sum = True

    @classmethod
    def total(cls, x: Tensor, axis: int) -> Tensor:
        return ops.logsumexp(x, axis=axis)

    @staticmethod
    def combine(total: Tensor, other: Tensor) -> Tensor:
        return ops.logaddexp(total, other)

    @staticmethod
    def over(totals: Tensor) -> Tensor:
        # The gradient of `logaddexp` is wrong at ties on some backends, that of `logsumexp` is not.
        return ops.logsumexp(totals, axis=0)

    @staticmethod
    def slope(x: Tensor, same: Tensor | None) -> Tensor:
        return ops.exp(x)


class NegativeCount(LogitTerms):
    """1 for each negative. It has no gradient."""

    @staticmethod
    def value(x: Tensor) -> Tensor:
        return ops.cast(x > LOWEST / 2, x.dtype)

    @staticmethod
    def slope(x: Tensor, same: Tensor | None) -> Tensor:
        return ops.zeros_like(x)


class LogComplements(LogitTerms):
    """log(1 - exp(x)) of the negatives, for x <= 0.

    Above a share exp(x) of 0.99 the logarithm continues as its tangent, so that a single dominating
    negative has a large but finite gradient.
    """

    @staticmethod
    def value(x: Tensor) -> Tensor:
        tangent = _LOG_AT_CAP + _STEEPEST * (x - _LOG_CAP)
        return ops.where(x > _LOG_CAP, tangent, ops.log1p(-ops.exp(ops.minimum(x, _LOG_CAP))))

    @staticmethod
    def slope(x: Tensor, same: Tensor | None) -> Tensor:
        return -1 / ops.expm1(-ops.minimum(x, _LOG_CAP))


class NegativeEntropy(LogitTerms):
    """exp(x) * x of the negatives. With the log-partition as the reference, the sum of p log p."""

    @staticmethod
    def value(x: Tensor) -> Tensor:
        return x * ops.exp(x)

    @staticmethod
    def slope(x: Tensor, same: Tensor | None) -> Tensor:
        return (1 + x) * ops.exp(x)


class PositiveSoftplus(LogitTerms):
    """log(1 + exp(-x)) of the positives."""

    counts_same = True

    @staticmethod
    def mask(x: Tensor, same: Tensor | None, dropped: Tensor | None) -> Tensor:
        if same is None:  # no pair is a positive
            return ops.full_like(x, -LOWEST)
        counts = same if dropped is None else ops.logical_and(same, ops.logical_not(dropped))
        return ops.where(counts, x, -LOWEST)

    @staticmethod
    def value(x: Tensor) -> Tensor:
        return ops.softplus(-x)

    @staticmethod
    def slope(x: Tensor, same: Tensor | None) -> Tensor:
        return -ops.sigmoid(-x)


class PositiveLogSumExp(LogSumExp):
    """Log of the sum of exp(logit) over the positives."""

    counts_same = True

    @staticmethod
    def mask(x: Tensor, same: Tensor | None, dropped: Tensor | None) -> Tensor:
        return -PositiveSoftplus.mask(-x, same, dropped)


@functools.cache
def positive_polynomial(coefficients: tuple[float, ...]) -> type[PositiveSoftplus]:
    """Returns terms: a polynomial without a constant of 1 / (1 + exp(x)) of the positives.

    Args:
        coefficients: The coefficients of the powers from 1 on.
    """

    class PositivePolynomial(PositiveSoftplus):
        @staticmethod
        def value(x: Tensor) -> Tensor:
            share = ops.sigmoid(-x)
            total = coefficients[-1] * share
            for coefficient in reversed(coefficients[:-1]):
                total = (total + coefficient) * share
            return total

        @staticmethod
        def slope(x: Tensor, same: Tensor | None) -> Tensor:
            share = ops.sigmoid(-x)
            power = len(coefficients)
            total = power * coefficients[-1] * ops.ones_like(share)
            for coefficient in reversed(coefficients[:-1]):
                power -= 1
                total = total * share + power * coefficient
            return -total * share * ops.sigmoid(x)

    return PositivePolynomial


class SigmoidCrossEntropy(LogitTerms):
    """log(1 + exp(x)) of the negatives and log(1 + exp(-x)) of the positives."""

    counts_same = True
    has_one_reference = True

    @staticmethod
    def mask(x: Tensor, same: Tensor | None, dropped: Tensor | None) -> Tensor:
        x = x if same is None else ops.where(same, -x, x)
        return x if dropped is None else ops.where(dropped, LOWEST, x)

    @staticmethod
    def value(x: Tensor) -> Tensor:
        return ops.softplus(x)

    @staticmethod
    def slope(x: Tensor, same: Tensor | None) -> Tensor:
        slope = ops.sigmoid(x)
        return slope if same is None else ops.where(same, -slope, slope)


def either(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Returns where one of two masks is True. `None` stands for a mask without True."""
    if first is None:
        return second
    return first if second is None else ops.logical_or(first, second)
