"""Targets that share the one of a pair with what slow encoders find similar."""

from keras import ops

from keras_contrastive._engine import EMPTY, NOBODY, expected_candidates
from keras_contrastive._replicas import shared_batch


def pull_to_teacher(loss, views, directions, ids=None, present=None):
    """What each row's InfoNCE gains when its target is the softmax of its teacher, instead of its own pair.

    The cross-entropy of targets `(1 - alpha) * own + alpha * teacher` is InfoNCE plus `alpha` times this, since the
    partition is the same: the pull to the own candidate, less that to the candidate which the teacher expects.

    Args:
        loss: A `ContrastiveLoss`.
        views: List of embeddings `(batch, dim)`: of each modality, then of each modality as the slow encoders see it.
        directions: Dict from pairs of indices to weights; the candidates are slow views.
        ids: int32 `(batch,)`, or `None` if all rows differ.
        present: `None`, or bool `(batch,)` or `None` for each view.

    Returns:
        `(batch,)`, the weighted sum over the directions, in nats.
    """
    views = [loss.comparable(view) for view in views]
    present = present or [None] * len(views)
    shared = shared_batch(views[0])
    rows = ops.arange(ops.shape(views[0])[0], dtype="int32") if shared is None else shared.rows
    own_ids = rows if ids is None else ids
    remembered = None if loss.memory is None else loss.memory.candidates(views)
    total = 0.0
    for place, ((anchor, candidate), weight) in enumerate(directions.items()):
        scale = loss.scale()
        scale = scale[place] if len(scale.shape) else scale
        there = present[candidate]
        candidates = [
            views[candidate],
            own_ids if there is None else ops.where(there, own_ids, EMPTY),
            rows,
        ]
        if shared is not None:
            candidates = [shared.gather(part) for part in candidates]
        if remembered is not None:
            candidates = _joined(candidates, remembered[candidate], ids is not None)
        pool, pool_ids, pool_places = candidates
        teacher = views[anchor + len(views) // 2]
        expected = expected_candidates(teacher * scale, pool, own_ids, pool_ids, rows, pool_places)
        pull = scale * ops.sum(views[anchor] * (views[candidate] - expected), axis=1)
        for there in (present[anchor], present[candidate]):
            pull = pull if there is None else ops.where(there, pull, 0.0)
        total = total + weight * pull
    return total


def _joined(candidates, remembered, have_ids):
    """The candidates of the batch, and those of batches before."""
    embeddings, ids, places = candidates
    # Without ids, nobody knows whose they are.
    others = remembered.ids if have_ids else ops.where(remembered.ids == EMPTY, EMPTY, NOBODY)
    nowhere = ops.zeros_like(others) - 1
    pairs = (
        (embeddings, ops.cast(remembered.embeddings, embeddings.dtype)),
        (ids, others),
        (places, nowhere),
    )
    return [ops.concatenate(pair) for pair in pairs]
