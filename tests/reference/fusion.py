"""ALBEF's contrast with soft targets, in float64 NumPy, one anchor at a time."""

import numpy as np


def soft_contrast(
    anchors, slow_anchors, slow_candidates, ids, queue, queue_ids, alpha, temperature
):
    """Returns the mean cross-entropy with soft targets.

    The targets are `(1 - alpha)` times the positive plus `alpha` times the softmax of the teacher's
    similarities. Other candidates with the anchor's id are left out. `queue` follows the candidates
    of the batch.
    """
    losses = []
    pool = np.concatenate([slow_candidates, queue]).astype("float64")
    pool_ids = np.concatenate([ids, queue_ids])
    for row in range(len(anchors)):
        seen = [j for j in range(len(pool)) if j == row or pool_ids[j] != ids[row]]
        logits = pool[seen] @ anchors[row].astype("float64") / temperature
        slow = pool[seen] @ slow_anchors[row].astype("float64") / temperature
        soft = np.exp(slow - slow.max())
        own = np.array([j == row for j in seen], "float64")
        targets = alpha * soft / soft.sum() + (1 - alpha) * own
        log_shares = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        losses.append(-(targets * log_shares).sum())
    return float(np.mean(losses))
