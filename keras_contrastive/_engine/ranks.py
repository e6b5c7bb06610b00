"""Ranks of positives, and nearest candidates, tile by tile."""

import math
from collections.abc import Callable, Iterator
from typing import TypeAlias

from keras import ops

from keras_contrastive._engine.numerics import LOWEST
from keras_contrastive._engine.tiles import (
    Side,
    fits_one_tile,
    for_each_tile,
    slice_rows,
    tile_shape,
)
from keras_contrastive._typing import Tensor

_Body: TypeAlias = Callable[[Side, Side, Side], Side]

# Rounding may separate equal cosines by this much if they are computed in another order.
_TIE = 1e-6


def positive_ranks(
    anchors: Tensor,
    candidates: Tensor,
    anchor_ids: Tensor,
    candidate_ids: Tensor,
    positive: Tensor,
    python_loop: bool = False,
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
        python_loop: Whether Python loops over the tiles. Use it for eager calls, because JAX
            compiles a loop of its own again for each eager call. Sizes must be known.

    Returns:
        Int tensor `(num_anchors,)`, 0 if the positive is the nearest.
    """

    def count_ahead(rows: Side, columns: Side, totals: Side) -> Side:
        similarities = ops.matmul(rows["z"], ops.transpose(columns["z"]))
        is_negative = ops.expand_dims(rows["id"], 1) != ops.expand_dims(columns["id"], 0)
        is_behind = similarities < ops.expand_dims(rows["positive"], 1) - _TIE  # False for NaN
        is_ahead = ops.logical_and(is_negative, ops.logical_not(is_behind))
        return {"ahead": totals["ahead"] + ops.sum(ops.cast(is_ahead, "int32"), axis=1)}

    rows = {"z": anchors, "id": anchor_ids, "positive": positive}
    columns = {"z": candidates, "id": candidate_ids}
    start = {"ahead": ops.zeros_like(anchor_ids)}
    return _for_each_tile(count_ahead, rows, columns, start, python_loop)["ahead"]


def nearest_positive(
    anchors: Tensor,
    candidates: Tensor,
    anchor_ids: Tensor,
    candidate_ids: Tensor,
    exclude_self: bool = False,
    python_loop: bool = False,
) -> Tensor:
    """Computes the similarity of each anchor to the nearest candidate with its id.

    Args:
        anchors: See `positive_ranks`.
        candidates: See `positive_ranks`.
        anchor_ids: See `positive_ranks`.
        candidate_ids: See `positive_ranks`.
        exclude_self: Whether candidate i is anchor i itself, and not a positive of it.
        python_loop: See `positive_ranks`.

    Returns:
        Float tensor `(num_anchors,)`, very low if there is no such candidate. See `has_positive`.
    """

    def find_nearest(rows: Side, columns: Side, totals: Side) -> Side:
        similarities = ops.matmul(rows["z"], ops.transpose(columns["z"]))
        is_positive = ops.expand_dims(rows["id"], 1) == ops.expand_dims(columns["id"], 0)
        if exclude_self:
            is_other = ops.expand_dims(rows["row"], 1) != ops.expand_dims(columns["row"], 0)
            is_positive = ops.logical_and(is_positive, is_other)
        # A positive that is NaN exists, but every negative is nearer.
        similarities = ops.where(ops.isnan(similarities), LOWEST / 4, similarities)
        similarities = ops.where(is_positive, similarities, LOWEST)
        return {"nearest": ops.maximum(totals["nearest"], ops.max(similarities, axis=1))}

    rows, columns = {"z": anchors, "id": anchor_ids}, {"z": candidates, "id": candidate_ids}
    if exclude_self:
        rows["row"] = columns["row"] = ops.arange(ops.shape(anchor_ids)[0], dtype="int32")
    start = {"nearest": ops.full_like(anchors[:, 0], LOWEST)}
    return _for_each_tile(find_nearest, rows, columns, start, python_loop)["nearest"]


def has_positive(nearest: Tensor) -> Tensor:
    """Returns whether `nearest_positive` found a positive, bool `(num_anchors,)`."""
    return nearest > LOWEST / 2


def nearest_candidates(
    queries: Tensor, candidates: Tensor, count: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Finds the nearest candidates of each query, one block of queries after the other.

    Args:
        queries: Float tensor `(num_queries, dim)`. Sizes must be known.
        candidates: Float tensor `(num_candidates, dim)` without NaN.
        count: Integer in [1, num_candidates].

    Yields:
        The slice of the queries, their similarities to the nearest candidates `(block, count)`, in
        descending order, and the row numbers of these candidates, int32 `(block, count)`.
    """

    def merge_top(rows: Side, columns: Side, totals: Side) -> Side:
        similarities = ops.matmul(rows["z"], ops.transpose(columns["z"]))
        if not totals:
            values, places = _largest(similarities, count)
            return {"values": values, "indices": ops.take(columns["row"], places, axis=0)}
        # Candidates of earlier tiles come first, so they win ties.
        known = totals["values"].shape[1]
        values = ops.concatenate([totals["values"], similarities], axis=1)
        values, places = _largest(values, count)
        before = ops.take_along_axis(totals["indices"], ops.minimum(places, known - 1), axis=1)
        new = ops.take(columns["row"], ops.maximum(places - known, 0), axis=0)
        return {"values": values, "indices": ops.where(places < known, before, new)}

    rows = {"z": queries}
    columns = {"z": candidates, "row": ops.arange(candidates.shape[0], dtype="int32")}
    end = 0
    for nearest in _blocks_of_totals(merge_top, rows, columns, {}):
        start, end = end, end + nearest["values"].shape[0]
        yield slice(start, end), nearest["values"], nearest["indices"]


def _largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Returns the `count` largest values of each row and their columns, ties in order."""
    # `top_k` does not keep the order of ties on PyTorch.
    columns = ops.argsort(-values, axis=1)[:, :count]
    return ops.take_along_axis(values, columns, axis=1), columns


def _for_each_tile(body: _Body, rows: Side, columns: Side, totals: Side, python_loop: bool) -> Side:
    """Visits all tiles and returns the totals of the rows.

    Args:
        body: Function of a block of `rows`, a block of `columns` and the totals of this block of
            rows. Returns the new totals.
        rows: Tensors `(num_rows, ...)`, with the embeddings as `"z"`.
        columns: Tensors `(num_columns, ...)`, with the embeddings as `"z"`.
        totals: Tensors `(num_rows, ...)`, the totals before the first tile. They may be
            overwritten.
        python_loop: Whether Python loops over the tiles.
    """
    if 0 in (rows["z"].shape[0], columns["z"].shape[0]):
        return totals
    if fits_one_tile(rows["z"], columns["z"]):
        return body(rows, columns, totals)
    if python_loop:
        blocks = list(_blocks_of_totals(body, rows, columns, totals))
        return {name: ops.concatenate([block[name] for block in blocks]) for name in totals}

    def visit(rows: Side, columns: Side, totals: Side, no_totals: Side) -> tuple[Side, Side]:
        return body(rows, columns, totals), no_totals

    return for_each_tile(visit, rows, columns, totals, {})[0]


def _blocks_of_totals(body: _Body, rows: Side, columns: Side, totals: Side) -> Iterator[Side]:
    """Yields the totals of each block of rows. Python loops over the tiles."""
    row_size, column_size = tile_shape(rows["z"])
    tiles = [slice_rows(columns, *span) for span in _spans(columns["z"], column_size)]
    for span in _spans(rows["z"], row_size):
        block, block_totals = slice_rows(rows, *span), slice_rows(totals, *span)
        for tile in tiles:
            block_totals = body(block, tile, block_totals)
        yield block_totals


def _spans(x: Tensor, size: int) -> list[tuple[int, int]]:
    """Returns `(start, size)` of each block of at most `size` rows."""
    length = x.shape[0]
    # Blocks of equal size where possible: JAX compiles each operation once for each size.
    size = math.ceil(length / math.ceil(length / size))
    return [(start, min(size, length - start)) for start in range(0, length, size)]
