"""ALBEF's contrastive loss with soft targets, in float64 NumPy, one anchor at a time."""

import numpy as np


def soft_contrast(
    anchors, momentum_anchors, momentum_candidates, ids, queue, queue_ids, alpha, temperature
):
    """Computes the mean over the anchors of the cross-entropy with soft targets.

    The targets are `1 - alpha` for the pair of the anchor, plus `alpha` times the softmax of the
    similarities of the momentum encoders. Candidates with the id of the anchor are excluded, except
    for its pair. The candidates of `queue` follow those of the batch.
    """
    losses = []
    pool = np.concatenate([momentum_candidates, queue]).astype("float64")
    pool_ids = np.concatenate([ids, queue_ids])
    for row in range(len(anchors)):
        candidates = [j for j in range(len(pool)) if j == row or pool_ids[j] != ids[row]]
        logits = pool[candidates] @ anchors[row].astype("float64") / temperature
        teacher = pool[candidates] @ momentum_anchors[row].astype("float64") / temperature
        soft = np.exp(teacher - teacher.max())
        hard = np.array([j == row for j in candidates], "float64")
        targets = alpha * soft / soft.sum() + (1 - alpha) * hard
        log_shares = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        losses.append(-(targets * log_shares).sum())
    return float(np.mean(losses))
