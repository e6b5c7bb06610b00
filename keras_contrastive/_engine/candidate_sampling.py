"""What is taken from the softmax over an anchor's candidates, without a gradient: their mean, and a draw."""

from keras import ops

from keras_contrastive._engine.contrast import EMPTY
from keras_contrastive._engine.tiles import walk

_LOWEST = -1e30


def expected_candidates(anchors, candidates, ids, candidate_ids, places, candidate_places):
    """The mean of each anchor's candidates, weighted by the softmax of its logits.

    The candidates of an anchor are the one at its own place and those with another id. No gradient reaches anything.

    Args:
        anchors: Float tensor `(num_anchors, dim)`, which the logits' scale is multiplied into.
        candidates: Float tensor `(num_candidates, dim)`.
        ids: int32 `(num_anchors,)`.
        candidate_ids: int32 `(num_candidates,)`, where `EMPTY` is nobody's candidate.
        places: int32 `(num_anchors,)`.
        candidate_places: int32 `(num_candidates,)`; -1 for what has no place in the batch.

    Returns:
        `(num_anchors, dim)`; zeros for an anchor without candidates.
    """

    def body(rows, columns, of_rows, of_columns):
        same_id, same_place, there = _compared(rows, columns)
        seen = ops.logical_and(ops.logical_or(ops.logical_not(same_id), same_place), there)
        logits = ops.where(seen, ops.matmul(rows["z"], ops.transpose(columns["z"])), _LOWEST)
        highest = ops.maximum(of_rows["highest"], ops.max(logits, axis=1))
        shares = ops.where(seen, ops.exp(logits - ops.expand_dims(highest, 1)), 0.0)
        kept = ops.exp(of_rows["highest"] - highest)
        return {
            "highest": highest,
            "total": of_rows["total"] * kept + ops.sum(shares, axis=1),
            "mean": of_rows["mean"] * ops.expand_dims(kept, 1) + ops.matmul(shares, columns["z"]),
        }, of_columns

    anchors, candidates = ops.stop_gradient(anchors), ops.stop_gradient(candidates)
    nothing = ops.zeros_like(anchors[:, 0])
    start = {"highest": nothing + _LOWEST, "total": nothing, "mean": ops.zeros_like(anchors)}
    rows = {"z": anchors, "id": ids, "place": places}
    columns = {"z": candidates, "id": candidate_ids, "place": candidate_places}
    found, _ = walk(body, rows, columns, start, {})
    return found["mean"] / ops.expand_dims(ops.maximum(found["total"], 1e-30), 1)


def largest_negatives(anchors, candidates, ids, candidate_ids, keys, noise):
    """The negative of each anchor whose logit is largest after noise has been added to it.

    With noise from a Gumbel distribution it is a draw from the softmax of the logits of the negatives, the candidates
    with another id. No gradient reaches anything.

    Args:
        anchors: Float tensor `(num_anchors, dim)`, which the logits' scale is multiplied into.
        candidates: Float tensor `(num_candidates, dim)`.
        ids: int32 `(num_anchors,)`.
        candidate_ids: int32 `(num_candidates,)`, where `EMPTY` is nobody's negative.
        keys: int32 `(num_anchors,)`, for the noise.
        noise: From keys `(rows,)` and the numbers of candidates `(columns,)` to what is added, `(rows, columns)`.

    Returns:
        int32 `(num_anchors,)`, the number of the candidate; and whether there is one, bool `(num_anchors,)`.
    """

    def body(rows, columns, of_rows, of_columns):
        same_id, _, there = _compared(rows, columns)
        negative = ops.logical_and(ops.logical_not(same_id), there)
        logits = ops.matmul(rows["z"], ops.transpose(columns["z"]))
        logits += ops.cast(noise(rows["place"], columns["place"]), logits.dtype)
        logits = ops.where(negative, logits, _LOWEST)
        largest = ops.max(logits, axis=1)
        # No `argmax`, which TensorFlow refuses for the tile of no columns that its loops may end with.
        numbers = ops.expand_dims(columns["place"], 0)
        number = ops.max(ops.where(logits >= ops.expand_dims(largest, 1), numbers, 0), axis=1)
        better = largest > of_rows["largest"]
        return {
            "largest": ops.where(better, largest, of_rows["largest"]),
            "number": ops.where(better, number, of_rows["number"]),
        }, of_columns

    anchors, candidates = ops.stop_gradient(anchors), ops.stop_gradient(candidates)
    start = {"largest": ops.zeros_like(anchors[:, 0]) + _LOWEST, "number": ops.zeros_like(ids)}
    numbers = ops.arange(ops.shape(candidates)[0], dtype="int32")
    rows = {"z": anchors, "id": ids, "place": keys}
    columns = {"z": candidates, "id": candidate_ids, "place": numbers}
    found, _ = walk(body, rows, columns, start, {})
    return found["number"], found["largest"] > _LOWEST / 2


def _compared(rows, columns):
    """Whether an anchor and a candidate have one id, and one place, and whether the candidate is there at all."""
    same_id = ops.expand_dims(rows["id"], 1) == ops.expand_dims(columns["id"], 0)
    same_place = ops.expand_dims(rows["place"], 1) == ops.expand_dims(columns["place"], 0)
    return same_id, same_place, ops.expand_dims(columns["id"] != EMPTY, 0)
