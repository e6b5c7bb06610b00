"""The log-partition of a batch without its bias of order 1 / batch."""

import math

import numpy as np
from keras import ops

from keras_contrastive._engine import Contrast
from keras_contrastive._typing import Tensor

_NODES = (1 + np.cos((2 * np.arange(4) + 1) * np.pi / 8)) / 2  # Chebyshev nodes of [0, 1]
_NORM_ORDER = 8  # the norm of two equal shares is 9 % above them
# log of the largest norm of shares whose complement is computed directly
_LOG_CAP = -1e-4
_LOG_AT_CAP, _STEEPEST = math.log(-math.expm1(_LOG_CAP)), -1 / math.expm1(-_LOG_CAP)


def jackknife(contrast: Contrast, log_partition: Tensor) -> Tensor:
    """Corrects the logarithm of each anchor's mean partition by leaving out each negative in turn.

    For m negatives with mean exponential A, and P the positive's part of the partition (0 if it is
    excluded), f = log(A + P), and f_k the same without negative k, the corrected value is

        m f - (m - 1) / m * sum over k of f_k.

    With share = A / (A + P) and e_k = exp(logit) / sum of exp(logit),

        f_k = f + log1p(share / (m - 1)) + log(1 - e_k * share * m / (m - 1 + share)).

    So no terms of order m cancel, and one more pass over the logits suffices.

    Args:
        contrast: A `Contrast`.
        log_partition: f above, `(batch, directions)`. The anchors have one positive each, or the
            positive is excluded. See `jackknife_of_positives` for the other case.

    Returns:
        `(batch, directions)`. It is `log_partition` for an anchor with fewer than two negatives.

    Reference:
        - Quenouille, 1956, "Notes on bias in estimation", Biometrika 43.
    """
    count = ops.maximum(contrast.num_negatives, 2)
    log_share = contrast.log_sum_negatives - ops.log(count) - log_partition
    share = ops.exp(log_share)
    reference = contrast.log_sum_negatives - log_share - ops.log(count / (count - 1 + share))
    corrected = (
        log_partition
        - (count - 1) * ops.log1p(share / (count - 1))
        - (count - 1) / count * contrast.log_complement_sum(reference)
    )
    return ops.where(contrast.num_negatives >= 2, corrected, log_partition)


def jackknife_of_positives(contrast: Contrast, log_partition: Tensor) -> Tensor:
    """Corrects partitions that include the positive, each with its own one of several positives.

    With P = exp(positive logit) / m, the correction of `jackknife` is a function of
    c = 1 / (1 + (m - 1) / m * exp(positive logit) / sum of exp(logit)) alone:

        K(c) = (m - 1) log(1 - c / m) - (m - 1) / m * sum over k of log(1 - c e_k).

    The sum over all pairs of a positive and a negative would take batch³ terms. So the function is
    interpolated: with n the norm of the e_k of order 8, K(c) + (m - 1) / m * (log(1 - c n) + c n)
    is c² times a function without a singularity near [0, 1], for which four nodes suffice. The
    error of K is below 1e-4, unless one negative has a share above 0.9999. It takes 11 more passes
    over the logits.

    Args:
        contrast: A `Contrast`.
        log_partition: Mean over the positives of log(A + P), `(batch, directions)`.

    Returns:
        `(batch, directions)`, the mean over the positives of the corrected values.
    """
    if contrast.has_single_positives:
        return jackknife(contrast, log_partition)
    correctable = contrast.num_negatives >= 2
    count = ops.maximum(contrast.num_negatives, 2)
    fraction = (count - 1) / count
    # Without negatives, the log-sum and the norm are too low to be subtracted.
    log_sum = ops.where(correctable, contrast.log_sum_negatives, 0.0)
    log_norm = ops.where(correctable, contrast.log_norm_negatives(_NORM_ORDER) - log_sum, -1.0)
    log_rest = _log_complement(log_norm)  # log(1 - n)
    norm = 1 - ops.exp(log_rest)
    threshold = log_sum - ops.log(fraction)
    # Mean over the positives of log(1 - c n) and of c.
    mean_log = contrast.mean_softplus(threshold + log_rest) - contrast.mean_softplus(threshold)
    mean_share = contrast.mean_share_polynomial(threshold, (1.0,))
    correction = -fraction * (mean_log + norm * mean_share)
    for index, node in enumerate(_NODES):
        complements = contrast.log_complement_sum(log_sum - math.log(node))
        smooth = (count - 1) * ops.log1p(-node / count) - fraction * (
            complements - ops.log1p(-node * norm) - node * norm
        )
        basis = np.poly1d(np.delete(_NODES, index), r=True)
        basis = (basis / basis(node)).coeffs[::-1] / node**2
        weight = contrast.mean_share_polynomial(threshold, (0.0, *basis))
        correction = correction + weight * smooth
    return ops.where(correctable, log_partition + correction, log_partition)


def _log_complement(x: Tensor) -> Tensor:
    """Returns log(1 - exp(x)) for x <= 0, close to 0 its tangent."""
    tangent = _LOG_AT_CAP + _STEEPEST * (x - _LOG_CAP)
    return ops.where(x > _LOG_CAP, tangent, ops.log1p(-ops.exp(ops.minimum(x, _LOG_CAP))))
