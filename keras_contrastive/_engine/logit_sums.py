"""Sums over rows and columns of logits that are never stored as a whole."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras import ops

from keras_contrastive._engine.gradients import once_differentiable, with_gradient
from keras_contrastive._engine.logit_terms import LogitTerms
from keras_contrastive._engine.masked_logits import (
    Side,
    are_one_sided,
    masked,
    products,
    tile_of,
)
from keras_contrastive._engine.numerics import LOWEST
from keras_contrastive._engine.pair_masks import PairMasks
from keras_contrastive._engine.tiles import fits_one_tile, for_each_tile
from keras_contrastive._typing import Tensor


def logit_sums(
    terms: type[LogitTerms],
    a: Tensor,
    b: Tensor | None,
    scale: Tensor,
    masks: PairMasks,
    row_reference: Tensor | None = None,
    column_reference: Tensor | None = None,
    two_sided: bool = False,
    paired: bool = False,
    stored: Tensor | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Sums terms over each row, and each column, of the logits `a @ b.T * scale`.

    The memory is that of `a`, `b`, their gradients and one tile. The gradient computes the logits
    again. Logits that fit one tile are stored, and the sums are plain operations.

    Args:
        terms: A subclass of `LogitTerms`.
        a: Float `(rows, dim)`.
        b: Float `(columns, dim)`, or `None` for `a` itself, which saves a product.
        scale: Scalar, 1 / temperature.
        masks: `PairMasks` of rows and columns.
        row_reference: `None` or `(rows,)`, subtracted from the logits of a row.
        column_reference: `None` or `(columns,)`, subtracted from the logits of a column. `None`
            means `row_reference`.
        two_sided: Whether the columns are summed as well.
        paired: Whether to return the logits of row i with column i.
        stored: `None`, or the `stored_logits` of these rows, for several sums over them.

    Returns:
        Sums of rows `(rows,)`, sums of columns `(columns,)` or `None`, and logits of matching rows
        `(rows,)` or `None`.
    """
    inputs = {
        "a": a,
        "b": b,
        "scale": ops.convert_to_tensor(scale, dtype=a.dtype),
        "row_reference": row_reference,
        "column_reference": column_reference,
    }
    inputs = {name: x for name, x in inputs.items() if x is not None}
    sums = _TiledSums(terms, masks, two_sided, paired)
    if stored is None:
        stored = stored_logits(a, b, inputs["scale"])
    if stored is not None:
        return sums.in_one_tile(stored, a, b, row_reference, column_reference)
    b = a if b is None else b
    packed = _with_tiled_gradient(sums, tuple(inputs))(*inputs.values(), *masks.tensors())
    num_rows, num_columns = ops.shape(a)[0], ops.shape(b)[0] if two_sided else 0
    columns = packed[num_rows : num_rows + num_columns] if two_sided else None
    return packed[:num_rows], columns, packed[num_rows + num_columns :] if paired else None


def stored_logits(a: Tensor, b: Tensor | None, scale: Tensor) -> Tensor | None:
    """Returns the logits `a @ b.T * scale` if they fit one tile, or else `None`."""
    b = a if b is None else b
    return products(a, b * scale) if fits_one_tile(a, b) else None


def _with_tiled_gradient(sums: "_TiledSums", names: Sequence[str]) -> Callable[..., Tensor]:
    """Returns a function of the inputs with these names, and then of the tensors of the masks."""

    def split(values: Sequence[Tensor]) -> tuple["_TiledSums", dict[str, Tensor]]:
        return sums.with_masks(values[len(names) :]), dict(zip(names, values, strict=False))

    def forward(*values: Tensor) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        sums, inputs = split(values)
        rows, columns, pairs = sums.forward(**inputs)
        totals = tuple(
            part if part is None else ops.stop_gradient(part) for part in (rows, columns)
        )
        return ops.concatenate(
            [part for part in (rows, columns, pairs) if part is not None]
        ), totals

    def backward(
        upstream: Tensor, totals: tuple[Tensor | None, ...], *values: Tensor
    ) -> tuple[Tensor, ...]:
        sums, inputs = split(values)
        detached = {name: ops.stop_gradient(x) for name, x in inputs.items()}
        grads = sums.backward(ops.stop_gradient(upstream), totals, **detached)
        differentiable = inputs.values()
        return tuple(once_differentiable(grads[name], upstream, *differentiable) for name in names)

    return with_gradient(forward, backward)


class _TiledSums:
    """One pass over the logits for the sums, and one for their gradient."""

    def __init__(
        self, terms: type[LogitTerms], masks: PairMasks, two_sided: bool, paired: bool
    ) -> None:
        self.terms = terms
        self.masks = masks
        self.two_sided = two_sided
        self.paired = paired

    def with_masks(self, tensors: Sequence[Tensor]) -> "_TiledSums":
        """Returns the same sums with other tensors of the masks."""
        masks = self.masks.with_tensors(tensors)
        return _TiledSums(self.terms, masks, self.two_sided, self.paired)

    def in_one_tile(
        self,
        logits: Tensor,
        a: Tensor,
        b: Tensor | None,
        row_reference: Tensor | None,
        column_reference: Tensor | None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Returns sums of rows, sums of columns and matching logits, by plain operations."""
        rows, columns = self._sides(a, b, row_reference, column_reference)
        row_sums, column_sums = self._sums_of_tile(rows, columns, logits)
        return row_sums, column_sums, ops.diagonal(logits) if self.paired else None

    def forward(
        self,
        a: Tensor,
        scale: Tensor,
        b: Tensor | None = None,
        row_reference: Tensor | None = None,
        column_reference: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Returns the same as `in_one_tile`, tile by tile."""

        def add_tile(
            rows: Side, columns: Side, row_sums: Side, column_sums: Side
        ) -> tuple[Side, Side]:
            logits = products(rows["z"], columns["z"] * scale)
            row, column = self._sums_of_tile(rows, columns, logits)
            row_sums = {"total": self.terms.combine(row_sums["total"], row)}
            if self.two_sided:
                column_sums = {"total": self.terms.combine(column_sums["total"], column)}
            return row_sums, column_sums

        rows, columns = self._sides(a, b, row_reference, column_reference)
        starts = [{"total": ops.full_like(x["z"][:, 0], self.terms.start)} for x in (rows, columns)]
        row_sums, column_sums = for_each_tile(
            add_tile, rows, columns, starts[0], starts[1] if self.two_sided else {}
        )
        pairs = ops.einsum("nd,nd->n", a, columns["z"]) * scale if self.paired else None
        return row_sums["total"], column_sums.get("total"), pairs

    def _sums_of_tile(
        self, rows: Side, columns: Side, logits: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Returns the sums of the rows of a tile, and of its columns or `None`."""
        tile = tile_of(rows, columns, logits)
        x = masked(self.terms, tile, rows, columns, 1)
        row_sums = self.terms.total(x, axis=1)
        if not self.two_sided:
            return row_sums, None
        if are_one_sided(rows, columns):
            x = masked(self.terms, tile, columns, rows, 0)
        return row_sums, self.terms.total(x, axis=0)

    def backward(
        self,
        upstream: Tensor,
        totals: tuple[Tensor | None, ...],
        a: Tensor,
        scale: Tensor,
        b: Tensor | None = None,
        row_reference: Tensor | None = None,
        column_reference: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns gradients by name, tile by tile.

        Args:
            upstream: Gradient of all sums, packed into one tensor.
            totals: The sums of rows and of columns.
            a, scale, b, row_reference, column_reference: See `logit_sums`.
        """
        itself = b is None
        b = a if b is None else b
        num_rows, num_columns = ops.shape(a)[0], ops.shape(b)[0] if self.two_sided else 0
        row_upstream = upstream[:num_rows]
        column_upstream = upstream[num_rows : num_rows + num_columns]
        if self.paired:
            pair_upstream = ops.expand_dims(upstream[num_rows + num_columns :] * scale, 1)
            row_grads, column_grads = {"z": pair_upstream * b}, {"z": pair_upstream * a}
        else:
            row_grads, column_grads = {"z": ops.zeros_like(a)}, {"z": ops.zeros_like(b)}
        if row_reference is not None:
            row_grads["reference"] = ops.zeros_like(row_reference)
        if column_reference is not None:
            column_grads["reference"] = ops.zeros_like(column_reference)
        if self.terms.reference_is_log_sum:
            row_reference, column_reference = (_softmax_reference(total) for total in totals)
        if itself:
            # Rows and columns are the same tensor: both gradients come from one product.
            column_grads, column_reference, column_upstream = {}, row_reference, row_upstream
        shares_terms = self.two_sided and column_reference is None
        has_column_terms = itself or (self.two_sided and not shares_terms)

        def add_tile(
            rows: Side, columns: Side, row_grads: Side, column_grads: Side
        ) -> tuple[Side, Side]:
            candidates = columns["z"] * scale
            tile = tile_of(rows, columns, products(rows["z"], candidates))
            upstream = ops.expand_dims(rows["upstream"], 1)
            if shares_terms:
                upstream = upstream + ops.expand_dims(columns["upstream"], 0)
            x = masked(self.terms, tile, rows, columns, 1)
            weights = self.terms.slope(x, tile.same) * upstream
            row_grads, column_grads = dict(row_grads), dict(column_grads)
            if "reference" in row_grads:
                row_grads["reference"] -= ops.sum(weights, axis=1)
            if has_column_terms:
                x = masked(self.terms, tile, columns, rows, 0)
                column_weights = self.terms.slope(x, tile.same)
                column_weights = column_weights * ops.expand_dims(columns["upstream"], 0)
                if "reference" in column_grads:
                    column_grads["reference"] -= ops.sum(column_weights, axis=0)
                weights += column_weights
            if self.terms.is_curved:
                weights *= self.terms.curve_slope(tile.logits)
            row_grads["z"] += ops.matmul(weights, candidates)
            if "z" in column_grads:
                column_grads["z"] += ops.matmul(ops.transpose(weights), rows["z"]) * scale
            return row_grads, column_grads

        rows, columns = self._sides(a, b, row_reference, column_reference)
        rows["upstream"] = row_upstream
        if shares_terms or has_column_terms:
            columns["upstream"] = column_upstream
        row_grads, column_grads = for_each_tile(add_tile, rows, columns, row_grads, column_grads)
        scale_grad = ops.vdot(ops.reshape(row_grads["z"], (-1,)), ops.reshape(a, (-1,))) / scale
        return {
            "a": row_grads["z"],
            "b": column_grads.get("z"),
            # With itself, each pair of rows is counted from both ends.
            "scale": scale_grad / 2 if itself else scale_grad,
            "row_reference": row_grads.get("reference"),
            "column_reference": column_grads.get("reference"),
        }

    def _sides(
        self,
        a: Tensor,
        b: Tensor | None,
        row_reference: Tensor | None,
        column_reference: Tensor | None,
    ) -> tuple[Side, Side]:
        """Returns the tensors of the rows and those of the columns, by name."""
        rows: Mapping[str, Any] = {"z": a, "reference": row_reference}
        columns: Mapping[str, Any] = {"z": a if b is None else b, "reference": column_reference}
        pairs = {
            "ids": self.masks.ids,
            "positions": self.masks.positions,
            "present": self.masks.present,
            "limit": self.masks.limits,
            "log_weight": self.masks.log_weights,
            "guide": self.masks.guides,
            "threshold": self.masks.thresholds,
        }
        sides = []
        for place, side in enumerate((rows, columns)):
            masks = {name: pair[place] for name, pair in pairs.items() if pair is not None}
            sides.append({name: x for name, x in {**side, **masks}.items() if x is not None})
        return sides[0], sides[1]


def _softmax_reference(log_sum: Tensor | None) -> Tensor | None:
    # A row without negatives has masked logits as low as its log-sum: their difference would be 0.
    if log_sum is None:
        return None
    return ops.where(log_sum > LOWEST / 2, log_sum, ops.zeros_like(log_sum))
