"""The minibatch log-partition without its bias of order 1 / batch, from the batch alone."""

from keras import ops


def jackknife(contrast, log_partition):
    """Correct the logarithm of each anchor's mean partition by leaving out each negative in turn.

    For m negatives with mean exponential A, and P the positive's part of the partition (0 if it is left
    out), f = log(A + P), and f_k the same without negative k:

        m f - (m - 1) / m * sum over k of f_k

    With share = A / (A + P) and e_k = exp(logit) / sum of exp(logit), f_k splits into
    f + log1p(share / (m - 1)) + log(1 - e_k * share * m / (m - 1 + share)), so that nothing of order m
    cancels and one more pass over the logits suffices.

    Args:
        contrast: A `Contrast`.
        log_partition: `(batch, directions)`, f above.

    Returns:
        `(batch, directions)`; `log_partition` itself where there are fewer than two negatives.

    Reference:
        `(P1-18)` of the project's mathematics; Quenouille, 1956, "Notes on bias in estimation".
    """
    count = ops.maximum(contrast.num_negatives, 2)
    log_share = contrast.negatives - ops.log(count) - log_partition
    share = ops.exp(log_share)
    reference = contrast.negatives - log_share - ops.log(count / (count - 1 + share))
    corrected = (
        log_partition
        - (count - 1) * ops.log1p(share / (count - 1))
        - (count - 1) / count * contrast.log_complement_sum(reference)
    )
    return ops.where(contrast.num_negatives >= 2, corrected, log_partition)


def check_bias_correction(bias_correction):
    """Refuse what is neither `None` nor `"jackknife"`."""
    if bias_correction not in (None, "jackknife"):
        raise ValueError(
            f"`bias_correction` must be `None` or 'jackknife'. Received: bias_correction={bias_correction!r}."
        )
