"""Where the positive stands among the candidates."""

from keras import ops

_TIE = 1e-6  # cosines closer than this are the same number computed in another order
_LOWEST = -3e38


def positive_ranks(anchors, candidates, anchor_ids, candidate_ids, positive, tile=4096):
    """Count, for each anchor, the negatives that are at least as close as its positive.

    Ties are lost: where all embeddings coincide, or are not numbers, every positive stands last,
    not first.

    Args:
        anchors: Float tensor `(num_anchors, dim)`.
        candidates: Float tensor `(num_candidates, dim)`.
        anchor_ids: Int tensor `(num_anchors,)`.
        candidate_ids: Int tensor `(num_candidates,)`. Candidates with the anchor's id are not
            negatives.
        positive: Float tensor `(num_anchors,)`, similarity of the anchor to its (nearest) positive.
        tile: How many candidates are compared at a time.

    Returns:
        Int tensor `(num_anchors,)`; 0 where the positive is the nearest.
    """
    threshold = ops.expand_dims(positive, 1) - _TIE
    ahead = ops.zeros_like(anchor_ids)
    for window in _windows(candidates, tile):
        similarities = ops.matmul(anchors, ops.transpose(candidates[window]))
        is_negative = ops.expand_dims(anchor_ids, 1) != ops.expand_dims(candidate_ids[window], 0)
        is_behind = similarities < threshold  # which no NaN is
        is_ahead = ops.logical_and(is_negative, ops.logical_not(is_behind))
        ahead += ops.sum(ops.cast(is_ahead, ahead.dtype), axis=1)
    return ahead


def nearest_positive(anchors, candidates, anchor_ids, candidate_ids, exclude_self=False, tile=4096):
    """Find the similarity of each anchor to the nearest candidate with its id.

    Args:
        anchors, candidates, anchor_ids, candidate_ids, tile: See `positive_ranks`.
        exclude_self: Whether candidate i is anchor i itself, and no positive of it.

    Returns:
        Float tensor `(num_anchors,)`; the lowest number where there is no such candidate.
    """
    rows = ops.arange(ops.shape(anchor_ids)[0], dtype="int32")
    nearest = ops.full_like(anchors[:, 0], _LOWEST)
    for window in _windows(candidates, tile):
        similarities = ops.matmul(anchors, ops.transpose(candidates[window]))
        is_positive = ops.expand_dims(anchor_ids, 1) == ops.expand_dims(candidate_ids[window], 0)
        if exclude_self:
            is_self = ops.expand_dims(rows, 1) == ops.expand_dims(rows[window], 0)
            is_positive = ops.logical_and(is_positive, ops.logical_not(is_self))
        # A positive that is not a number was found, but is behind everything.
        similarities = ops.where(
            ops.isnan(similarities), ops.full_like(similarities, _LOWEST / 4), similarities
        )
        similarities = ops.where(is_positive, similarities, ops.full_like(similarities, _LOWEST))
        nearest = ops.maximum(nearest, ops.max(similarities, axis=1))
    return nearest


def has_positive(nearest):
    """Whether `nearest_positive` found one."""
    return nearest > _LOWEST / 2


def _windows(candidates, tile):
    size = candidates.shape[0]
    return (
        [slice(None)]
        if size is None
        else [slice(start, start + tile) for start in range(0, size, tile)]
    )
