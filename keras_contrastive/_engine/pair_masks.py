"""Masks and weights of the pairs of anchors and candidates."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from keras_contrastive._typing import Tensor


@dataclasses.dataclass(frozen=True)
class PairMasks:
    """Attributes of anchors and candidates that decide which pairs count, and how much.

    Args:
        ids: A pair of int tensors `(anchors,)` and `(candidates,)`. Equal ids mark the same item.
            `None` if no ids are equal.
        positions: A pair of int tensors. Pairs with equal positions never count. `None` if none
            are.
        present: A pair of bool tensors or `None`s. Rows that are not present never count.
        limits: A pair of float tensors or `None`s, without a gradient. A sum of a row leaves out
            logits above the limit of the row, a sum of a column those above that of the column.
        log_weights: A pair of float tensors or `None`s, without a gradient. A sum of a row adds
            those of the columns to the logits, a sum of a column those of the rows.
        guides: `None`, or a pair of float tensors `(rows, guide_dim)`, without a gradient. Their
            inner products are then the similarities that thresholds limit, in place of the logits.
        thresholds: A pair of float tensors or `None`s, without a gradient. A sum of a row leaves
            out candidates with another id and a similarity above the threshold of the row, a sum of
            a column those above that of the column.
    """

    ids: tuple[Tensor, Tensor] | None = None
    positions: tuple[Tensor, Tensor] | None = None
    present: tuple[Tensor | None, Tensor | None] = (None, None)
    limits: tuple[Tensor | None, Tensor | None] = (None, None)
    log_weights: tuple[Tensor | None, Tensor | None] = (None, None)
    guides: tuple[Tensor, Tensor] | None = None
    thresholds: tuple[Tensor | None, Tensor | None] = (None, None)

    def tensors(self) -> list[Tensor]:
        """Returns all tensors."""
        pairs = [pair for pair in vars(self).values() if pair is not None]
        return [x for pair in pairs for x in pair if x is not None]

    def with_tensors(self, tensors: Iterable[Tensor]) -> "PairMasks":
        """Returns the masks with other tensors, in the order of `tensors`."""
        others = iter(tensors)
        pairs: dict[str, Any] = {
            name: pair and tuple(None if x is None else next(others) for x in pair)
            for name, pair in vars(self).items()
        }
        return PairMasks(**pairs)
