"""Expectations and draws from the softmax over an anchor's candidates, without gradients."""

from collections.abc import Callable

from keras import ops

from keras_contrastive._engine.candidates import MISSING_ID
from keras_contrastive._engine.tiles import Side, for_each_tile
from keras_contrastive._typing import Tensor

_LOWEST = -1e30  # a logit that no candidate has


def expected_candidates(
    anchors: Tensor,
    candidates: Tensor,
    ids: Tensor,
    candidate_ids: Tensor,
    positions: Tensor,
    candidate_positions: Tensor,
) -> Tensor:
    """Computes the mean of each anchor's candidates, weighted by the softmax of its logits.

    The candidates of an anchor are the one at its own position and those with other ids. The result
    has no gradient.

    Args:
        anchors: Float `(num_anchors, dim)`, multiplied by the scale of the logits.
        candidates: Float `(num_candidates, dim)`.
        ids: int32 `(num_anchors,)`.
        candidate_ids: int32 `(num_candidates,)`. `MISSING_ID` marks one that does not exist.
        positions: int32 `(num_anchors,)`.
        candidate_positions: int32 `(num_candidates,)`, -1 for one that is not in the batch.

    Returns:
        `(num_anchors, dim)`. It is zero for an anchor without candidates.
    """

    def add_tile(rows: Side, columns: Side, results: Side, unused: Side) -> tuple[Side, Side]:
        same_id, same_position, exists = _comparisons(rows, columns)
        counts = ops.logical_and(ops.logical_or(ops.logical_not(same_id), same_position), exists)
        logits = ops.where(counts, ops.matmul(rows["z"], ops.transpose(columns["z"])), _LOWEST)
        highest = ops.maximum(results["highest"], ops.max(logits, axis=1))
        shares = ops.where(counts, ops.exp(logits - ops.expand_dims(highest, 1)), 0.0)
        kept = ops.exp(results["highest"] - highest)
        return {
            "highest": highest,
            "total": results["total"] * kept + ops.sum(shares, axis=1),
            "mean": results["mean"] * ops.expand_dims(kept, 1) + ops.matmul(shares, columns["z"]),
        }, unused

    anchors, candidates = ops.stop_gradient(anchors), ops.stop_gradient(candidates)
    zeros = ops.zeros_like(anchors[:, 0])
    start = {"highest": zeros + _LOWEST, "total": zeros, "mean": ops.zeros_like(anchors)}
    rows = {"z": anchors, "id": ids, "position": positions}
    columns = {"z": candidates, "id": candidate_ids, "position": candidate_positions}
    results, _ = for_each_tile(add_tile, rows, columns, start, {})
    return results["mean"] / ops.expand_dims(ops.maximum(results["total"], 1e-30), 1)


def largest_negatives(
    anchors: Tensor,
    candidates: Tensor,
    ids: Tensor,
    candidate_ids: Tensor,
    keys: Tensor,
    noise: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Finds the negative of each anchor with the largest logit after noise is added.

    With noise from a Gumbel distribution, it is a draw from the softmax of the logits of the
    negatives, the candidates with other ids. The result has no gradient.

    Args:
        anchors: Float `(num_anchors, dim)`, multiplied by the scale of the logits.
        candidates: Float `(num_candidates, dim)`.
        ids: int32 `(num_anchors,)`.
        candidate_ids: int32 `(num_candidates,)`. `MISSING_ID` marks one that does not exist.
        keys: int32 `(num_anchors,)`, keys of the noise.
        noise: Maps keys `(rows,)` and indices of candidates `(columns,)` to noise `(rows,
            columns)`.

    Returns:
        Indices of candidates, int32 `(num_anchors,)`, and whether there is a negative, bool
        `(num_anchors,)`.
    """

    def add_tile(rows: Side, columns: Side, results: Side, unused: Side) -> tuple[Side, Side]:
        same_id, _, exists = _comparisons(rows, columns)
        negative = ops.logical_and(ops.logical_not(same_id), exists)
        logits = ops.matmul(rows["z"], ops.transpose(columns["z"]))
        logits += ops.cast(noise(rows["position"], columns["position"]), logits.dtype)
        logits = ops.where(negative, logits, _LOWEST)
        largest = ops.max(logits, axis=1)
        # TensorFlow's loops may end with a tile without columns, for which `argmax` raises.
        indices = ops.expand_dims(columns["position"], 0)
        index = ops.max(ops.where(logits >= ops.expand_dims(largest, 1), indices, 0), axis=1)
        better = largest > results["largest"]
        return {
            "largest": ops.where(better, largest, results["largest"]),
            "index": ops.where(better, index, results["index"]),
        }, unused

    anchors, candidates = ops.stop_gradient(anchors), ops.stop_gradient(candidates)
    start = {"largest": ops.zeros_like(anchors[:, 0]) + _LOWEST, "index": ops.zeros_like(ids)}
    indices = ops.arange(ops.shape(candidates)[0], dtype="int32")
    rows = {"z": anchors, "id": ids, "position": keys}
    columns = {"z": candidates, "id": candidate_ids, "position": indices}
    results, _ = for_each_tile(add_tile, rows, columns, start, {})
    return results["index"], results["largest"] > _LOWEST / 2


def _comparisons(rows: Side, columns: Side) -> tuple[Tensor, Tensor, Tensor]:
    """Returns which pairs have equal ids, equal positions, and an existing candidate."""
    same_id = ops.expand_dims(rows["id"], 1) == ops.expand_dims(columns["id"], 0)
    same_position = ops.expand_dims(rows["position"], 1) == ops.expand_dims(columns["position"], 0)
    return same_id, same_position, ops.expand_dims(columns["id"] != MISSING_ID, 0)
