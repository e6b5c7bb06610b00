"""Soft targets from a momentum teacher."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from keras_contrastive._engine import MISSING_ID, NO_ITEM_ID, Batch, expected_candidates
from keras_contrastive._typing import Tensor


def soft_target_difference(
    loss: Any,
    batch: Batch,
    directions: Mapping[tuple[str, str], float],
    teacher_views: Mapping[str, str],
) -> Tensor:
    """Computes InfoNCE with the teacher's softmax as targets, minus InfoNCE with its own targets.

    The cross-entropy with targets `(1 - alpha) * own + alpha * teacher` is InfoNCE plus `alpha`
    times this difference, since the partition is the same. The difference is the logit of the
    positive minus the logit of the candidate that the teacher expects.

    Args:
        loss: An `InfoNCE`.
        batch: The views of the batch.
        directions: Weights by (view of the anchors, view of the candidates). The candidates are
            views of the teacher.
        teacher_views: The teacher's view of each view of anchors.

    Returns:
        `(batch,)`, the weighted sum over the directions, in nats.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651), Eq. 6.
    """
    batch = loss.prepared(batch)
    total: Any = 0.0
    for index, ((anchor, candidate), weight) in enumerate(directions.items()):
        scale = loss.scale()
        scale = scale[index] if len(scale.shape) else scale
        pool, pool_ids, pool_rows = _candidates(loss, batch, candidate)
        expected = expected_candidates(
            batch.views[teacher_views[anchor]] * scale,
            pool,
            batch.row_ids,
            pool_ids,
            batch.rows,
            pool_rows,
        )
        positive = batch.views[candidate]
        value = scale * ops.sum(batch.views[anchor] * (positive - expected), axis=1)
        complete = batch.complete(anchor, candidate)
        total = total + weight * (value if complete is None else ops.where(complete, value, 0.0))
    return total


def _candidates(loss: Any, batch: Batch, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Returns embeddings, ids and rows of the candidates of all replicas and of the queue."""
    ids = batch.row_ids
    if name in batch.present:
        ids = ops.where(batch.present[name], ids, MISSING_ID)
    candidates: list[Any] = [batch.gather(x) for x in (batch.views[name], ids, batch.rows)]
    if loss.memory is not None:
        stored = loss.memory.candidates(list(batch.views.values()))
        queued = stored[batch.names.index(name)]
        # Without ids of the batch, a queued embedding is a positive of no anchor.
        no_item = ops.where(queued.ids == MISSING_ID, MISSING_ID, NO_ITEM_ID)
        queued_ids = no_item if batch.ids is None else queued.ids
        no_rows = ops.zeros_like(queued_ids) - 1
        parts = ops.cast(queued.embeddings, candidates[0].dtype), queued_ids, no_rows
        candidates = [ops.concatenate(pair) for pair in zip(candidates, parts, strict=True)]
    embeddings, ids, rows = candidates
    return embeddings, ids, rows
