"""Logits of a tile, with the pairs that do not count moved to where their terms vanish."""

from typing import NamedTuple

from keras import ops

from keras_contrastive._engine.logit_terms import LogitTerms, either
from keras_contrastive._typing import Tensor

Side = dict[str, Tensor]
# Attributes that a sum of a row and a sum of a column use in different ways.
_ONE_SIDED = {"limit", "log_weight", "threshold"}


class Tile(NamedTuple):
    """The pairs of some rows and some columns, `(rows, columns)` each."""

    logits: Tensor
    same: Tensor | None  # pairs with equal ids, or `None` if there are none
    dropped: Tensor | None  # pairs that never count
    similarity: Tensor | None  # that of the guides, or the logits. `None` if no pair is ignored


def products(a: Tensor, b: Tensor) -> Tensor:
    """Returns the inner products of all rows of `a` with all rows of `b`."""
    return ops.matmul(a, ops.transpose(b))


def tile_of(rows: Side, columns: Side, logits: Tensor) -> Tile:
    """Returns the tile of two sides.

    Args:
        rows: Tensors of the rows by name, with the embeddings as `"z"`.
        columns: Tensors of the columns by name.
        logits: The scaled inner products of their embeddings, see `products`.
    """
    same, dropped = (
        ops.expand_dims(rows[name], 1) == ops.expand_dims(columns[name], 0)
        if name in rows
        else None
        for name in ("ids", "positions")
    )
    for axis, side in ((1, rows), (0, columns)):
        if "present" in side:
            dropped = either(dropped, ops.expand_dims(ops.logical_not(side["present"]), axis))
    similarity = logits if "threshold" in rows else None
    if "guide" in rows:
        similarity = ops.matmul(rows["guide"], ops.transpose(columns["guide"]))
    return Tile(logits, same, dropped, similarity)


def are_one_sided(rows: Side, columns: Side) -> bool:
    """Returns whether the sums of the columns have other terms than those of the rows."""
    return "reference" in columns or bool(_ONE_SIDED & {*rows, *columns})


def masked(terms: type[LogitTerms], tile: Tile, side: Side, candidates: Side, axis: int) -> Tensor:
    """Returns the masked x of the terms.

    Args:
        terms: A subclass of `LogitTerms`.
        tile: The tile.
        side: The side that is summed for.
        candidates: The other side.
        axis: 1 for the sums of the rows, 0 for those of the columns.
    """
    x, dropped = terms.curve(tile.logits), tile.dropped
    if "log_weight" in candidates:
        x = x + ops.expand_dims(candidates["log_weight"], 1 - axis)
    if "limit" in side:
        dropped = either(dropped, x > ops.expand_dims(side["limit"], axis))
    if "threshold" in side:
        ignored = tile.similarity > ops.expand_dims(side["threshold"], axis)
        if tile.same is not None:  # a positive is never ignored
            ignored = ops.logical_and(ignored, ops.logical_not(tile.same))
        dropped = either(dropped, ignored)
    if "reference" in side:
        x = x - ops.expand_dims(side["reference"], axis)
    return terms.mask(x, tile.same, dropped)
