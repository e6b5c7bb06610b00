"""Terms of the circle loss: log-sum-exp over similarities that are weighted by their distance from
an optimum.
"""

import functools

from keras import ops

from keras_contrastive._engine.logit_terms import LogSumExp, PositiveLogSumExp
from keras_contrastive._typing import Tensor


@functools.cache
def circle_terms(gamma: float, margin: float) -> tuple[type[LogSumExp], type[LogSumExp]]:
    """Returns terms of the positives and of the negatives, for logits that are similarities.

    The exponents are those of Sun et al. (2020), Eq. 6 and 8. Their weights have no gradient.

    Args:
        gamma: Positive float, the factor of all exponents.
        margin: Positive float.
    """

    class CirclePositives(PositiveLogSumExp):
        is_curved = True

        @staticmethod
        def curve(logits: Tensor) -> Tensor:
            weights = ops.stop_gradient(CirclePositives.curve_slope(logits))
            return weights * (logits - (1 - margin))

        @staticmethod
        def curve_slope(logits: Tensor) -> Tensor:
            return -gamma * ops.relu(1 + margin - logits)

    class CircleNegatives(LogSumExp):
        is_curved = True

        @staticmethod
        def curve(logits: Tensor) -> Tensor:
            weights = ops.stop_gradient(CircleNegatives.curve_slope(logits))
            return weights * (logits - margin)

        @staticmethod
        def curve_slope(logits: Tensor) -> Tensor:
            return gamma * ops.relu(logits + margin)

    return CirclePositives, CircleNegatives
