"""Ranks of positives in a batch, tile by tile."""

import functools
from collections.abc import Callable
from typing import TypeAlias

from keras import ops

from keras_contrastive._engine.numerics import LOWEST, TIE
from keras_contrastive._engine.tiles import Side, fits_one_tile, for_each_tile
from keras_contrastive._typing import Tensor

_Body: TypeAlias = Callable[[Side, Side, Side], Side]


def positive_ranks(
    anchors: Tensor,
    candidates: Tensor,
    anchor_ids: Tensor,
    candidate_ids: Tensor,
    positive: Tensor,
    present: Tensor | None = None,
) -> Tensor:
    """Counts, for each anchor, the negatives that are at least as close as its positive.

    Ties count against the positive: if all embeddings are equal, or NaN, every positive ranks last.

    Args:
        anchors: Float tensor `(num_anchors, dim)`.
        candidates: Float tensor `(num_candidates, dim)`.
        anchor_ids: Int tensor `(num_anchors,)`.
        candidate_ids: Int tensor `(num_candidates,)`. Candidates with the id of the anchor are not
            negatives.
        positive: Float tensor `(num_anchors,)`, similarity of the anchor to its (nearest) positive.
            It must come from `nearest_positive`: on a GPU, other products differ in rounding, and
            ties would not be found.
        present: `None`, or bool `(num_candidates,)`. Candidates that are False do not count.

    Returns:
        Int tensor `(num_anchors,)`, 0 if the positive is the nearest.
    """

    def count_ahead(rows: Side, columns: Side, totals: Side) -> Side:
        similarities = ops.matmul(rows["z"], ops.transpose(columns["z"]))
        is_negative = _counting(ops.not_equal, rows, columns)
        is_behind = similarities < ops.expand_dims(rows["positive"], 1) - TIE  # False for NaN
        is_ahead = ops.logical_and(is_negative, ops.logical_not(is_behind))
        return {"ahead": totals["ahead"] + ops.sum(ops.cast(is_ahead, "int32"), axis=1)}

    rows = {"z": anchors, "id": anchor_ids, "positive": positive}
    columns = _columns(candidates, candidate_ids, present)
    start = {"ahead": ops.zeros_like(anchor_ids)}
    return _for_each_tile(count_ahead, rows, columns, start)["ahead"]


def nearest_positive(
    anchors: Tensor,
    candidates: Tensor,
    anchor_ids: Tensor,
    candidate_ids: Tensor,
    exclude_self: bool = False,
    present: Tensor | None = None,
) -> Tensor:
    """Computes the similarity of each anchor to the nearest candidate with its id.

    Args:
        anchors: See `positive_ranks`.
        candidates: See `positive_ranks`.
        anchor_ids: See `positive_ranks`.
        candidate_ids: See `positive_ranks`.
        exclude_self: Whether candidate i is anchor i itself, and not a positive of it.
        present: See `positive_ranks`.

    Returns:
        Float tensor `(num_anchors,)`, very low if there is no such candidate. See `is_found`.
    """
    rows, columns = {"z": anchors, "id": anchor_ids}, _columns(candidates, candidate_ids, present)
    if exclude_self:
        rows["row"] = columns["row"] = ops.arange(ops.shape(anchor_ids)[0], dtype="int32")

    def is_positive(rows: Side, columns: Side) -> Tensor:
        same = _counting(ops.equal, rows, columns)
        if not exclude_self:
            return same
        is_other = ops.expand_dims(rows["row"], 1) != ops.expand_dims(columns["row"], 0)
        return ops.logical_and(same, is_other)

    return _nearest(rows, columns, is_positive)


def nearest_negative(
    anchors: Tensor,
    candidates: Tensor,
    anchor_ids: Tensor,
    candidate_ids: Tensor,
    present: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Computes the similarity of each anchor to the nearest candidate with another id.

    Args:
        anchors: See `positive_ranks`.
        candidates: See `positive_ranks`.
        anchor_ids: See `positive_ranks`.
        candidate_ids: See `positive_ranks`.
        present: See `positive_ranks`.

    Returns:
        The similarities, float `(num_anchors,)`, and whether there is such a candidate, bool
        `(num_anchors,)`. Without one, the similarity is 0.
    """
    rows, columns = {"z": anchors, "id": anchor_ids}, _columns(candidates, candidate_ids, present)
    nearest = _nearest(rows, columns, functools.partial(_counting, ops.not_equal))
    exists = is_found(nearest)
    return ops.where(exists, nearest, 0.0), exists


def _columns(candidates: Tensor, ids: Tensor, present: Tensor | None) -> Side:
    columns = {"z": candidates, "id": ids}
    return columns if present is None else {**columns, "present": present}


def _counting(compare: Callable[..., Tensor], rows: Side, columns: Side) -> Tensor:
    """Returns which pairs of rows and present columns have equal, or different, ids."""
    pairs = compare(ops.expand_dims(rows["id"], 1), ops.expand_dims(columns["id"], 0))
    if "present" not in columns:
        return pairs
    return ops.logical_and(pairs, ops.expand_dims(columns["present"], 0))


def _nearest(rows: Side, columns: Side, counts: Callable[[Side, Side], Tensor]) -> Tensor:
    """Returns the largest similarity of each row to the columns that count for it."""

    def find_nearest(rows: Side, columns: Side, totals: Side) -> Side:
        similarities = ops.matmul(rows["z"], ops.transpose(columns["z"]))
        # A candidate that is NaN exists, but every other one is nearer.
        similarities = ops.where(ops.isnan(similarities), LOWEST / 4, similarities)
        similarities = ops.where(counts(rows, columns), similarities, LOWEST)
        return {"nearest": ops.maximum(totals["nearest"], ops.max(similarities, axis=1))}

    start = {"nearest": ops.full_like(rows["z"][:, 0], LOWEST)}
    return _for_each_tile(find_nearest, rows, columns, start)["nearest"]


def is_found(nearest: Tensor) -> Tensor:
    """Returns whether there is a nearest candidate, bool `(num_anchors,)`."""
    return nearest > LOWEST / 2


def _for_each_tile(body: _Body, rows: Side, columns: Side, totals: Side) -> Side:
    """Visits all tiles and returns the totals of the rows.

    Args:
        body: Function of a block of `rows`, a block of `columns` and the totals of this block of
            rows. Returns the new totals.
        rows: Tensors `(num_rows, ...)`, with the embeddings as `"z"`.
        columns: Tensors `(num_columns, ...)`, with the embeddings as `"z"`.
        totals: Tensors `(num_rows, ...)`, the totals before the first tile. They may be
            overwritten.
    """
    if 0 in (rows["z"].shape[0], columns["z"].shape[0]):
        return totals
    if fits_one_tile(rows["z"], columns["z"]):
        return body(rows, columns, totals)

    def visit(rows: Side, columns: Side, totals: Side, no_totals: Side) -> tuple[Side, Side]:
        return body(rows, columns, totals), no_totals

    return for_each_tile(visit, rows, columns, totals, {})[0]
