"""The log-partition of a batch without its bias of order 1 / batch."""

from keras import ops

from keras_contrastive._engine import Contrast
from keras_contrastive._typing import Tensor


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
        log_partition: f above, `(batch, directions)`.

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
