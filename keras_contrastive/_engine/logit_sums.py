"""Sums over the rows and the columns of logits that are never stored as a whole, forward or backward."""

import dataclasses
from typing import Any

from keras import ops

from keras_contrastive._engine.gradients import with_gradient
from keras_contrastive._engine.logit_terms import LOWEST, LogSumExp
from keras_contrastive._engine.tiles import fits_one_tile, walk


@dataclasses.dataclass(frozen=True)
class Relation:
    """Who is who among anchors and candidates; tensors `(anchors,)` and `(candidates,)`, or `None`.

    Args:
        ids: A pair of int tensors; equal ones are the same item. `None` if nobody is the same.
        places: A pair of int tensors; equal ones are left out altogether. `None` if nobody is.
        present: A pair of bool tensors or `None`s; who is not present is left out altogether.
    """

    ids: Any = None
    places: Any = None
    present: Any = (None, None)


def logit_sums(
    kind,
    a,
    b,
    scale,
    relation,
    row_reference=None,
    column_reference=None,
    two_sided=False,
    paired=False,
):
    """Sum a kind of terms over each row, and each column, of the logits `a @ b.T * scale`.

    The memory is that of `a`, `b`, their gradients and one tile. The logits are computed again for the gradient;
    where all of them are but one tile they are kept, and everything is as if there were no tiles.

    Args:
        kind: A class of `kinds`.
        a: Float tensor `(rows, dim)`.
        b: Float tensor `(columns, dim)`, or `None` for `a` itself, which saves a product.
        scale: Scalar, 1 / temperature.
        relation: A `Relation` of rows and columns.
        row_reference: `None` or `(rows,)`, subtracted from the logits of a row before its sum.
        column_reference: `None` or `(columns,)`, from those of a column; `None` stands for `row_reference`.
        two_sided: Whether the columns are summed as well.
        paired: Whether the logits of row i with column i are wanted.

    Returns:
        Sums of rows `(rows,)`, of columns `(columns,)` or `None`, logits of pairs `(rows,)` or `None`.
    """
    inputs = {
        "a": a,
        "b": b,
        "scale": ops.convert_to_tensor(scale, dtype=a.dtype),
        "row_reference": row_reference,
        "column_reference": column_reference,
    }
    inputs = {name: x for name, x in inputs.items() if x is not None}
    sums = _Sums(kind, relation, two_sided, paired)
    b = a if b is None else b
    if fits_one_tile(a, b):
        return sums.at_once(**inputs)
    together = _tiled(sums, tuple(inputs))(*inputs.values())
    num_rows, num_columns = ops.shape(a)[0], ops.shape(b)[0] if two_sided else 0
    columns = together[num_rows : num_rows + num_columns] if two_sided else None
    return together[:num_rows], columns, together[num_rows + num_columns :] if paired else None


def _tiled(sums, names):
    def forward(*values):
        rows, columns, pairs = sums.forward(**dict(zip(names, values, strict=True)))
        totals = tuple(
            part if part is None else ops.stop_gradient(part) for part in (rows, columns)
        )
        return ops.concatenate(
            [part for part in (rows, columns, pairs) if part is not None]
        ), totals

    def backward(upstream, totals, *values):
        inputs = {name: ops.stop_gradient(x) for name, x in zip(names, values, strict=True)}
        grads = sums.backward(ops.stop_gradient(upstream), totals, **inputs)
        return tuple(_once_differentiable(grads[name], upstream, *values) for name in names)

    return with_gradient(forward, backward)


@ops.custom_gradient
def _once_differentiable(gradient, *inputs):
    """The gradient, which depends on the inputs and refuses to be differentiated for them."""

    def refuse(*args, upstream=None):
        raise NotImplementedError(
            "The contrastive losses have no second derivative beyond one tile of logits: the gradient is computed "
            "tile by tile and cannot be differentiated again. For batches as small as yours are in such an experiment, "
            "`keras_contrastive.config.set_tile_shape((batch, batch))` keeps the logits of a batch in one tile."
        )

    return gradient, refuse


class _Sums:
    """One sweep over the logits for the sums, one for their gradient."""

    def __init__(self, kind, relation, two_sided, paired):
        self.kind = kind
        self.relation = relation
        self.two_sided = two_sided
        self.paired = paired

    def at_once(self, a, scale, b=None, row_reference=None, column_reference=None):
        """Sums of rows, of columns and logits of pairs, by plain operations."""
        rows, columns = self._sides(a, b, row_reference, column_reference)
        of_rows, of_columns, logits = self._of_tile(rows, columns, scale)
        return of_rows, of_columns, ops.diagonal(logits) if self.paired else None

    def forward(self, a, scale, b=None, row_reference=None, column_reference=None):
        """The same, tile by tile."""

        def body(rows, columns, of_rows, of_columns):
            row, column, _ = self._of_tile(rows, columns, scale)
            of_rows = {"total": self.kind.combine(of_rows["total"], row)}
            if self.two_sided:
                of_columns = {"total": self.kind.combine(of_columns["total"], column)}
            return of_rows, of_columns

        rows, columns = self._sides(a, b, row_reference, column_reference)
        of_rows, of_columns = (
            {"total": ops.full_like(side["z"][:, 0], self.kind.start)} for side in (rows, columns)
        )
        of_rows, of_columns = walk(
            body, rows, columns, of_rows, of_columns if self.two_sided else {}
        )
        pairs = ops.einsum("nd,nd->n", a, columns["z"]) * scale if self.paired else None
        return of_rows["total"], of_columns.get("total"), pairs

    def _of_tile(self, rows, columns, scale):
        """Sums of its rows, of its columns or `None`, and its logits."""
        same, dropped = self._who(rows, columns)
        logits = ops.matmul(rows["z"], ops.transpose(columns["z"] * scale))
        x = self.kind.mask(_minus(logits, rows.get("reference"), 1), same, dropped)
        of_rows = self.kind.total(x, axis=1)
        if not self.two_sided:
            return of_rows, None, logits
        if "reference" in columns:
            x = self.kind.mask(_minus(logits, columns["reference"], 0), same, dropped)
        return of_rows, self.kind.total(x, axis=0), logits

    def backward(
        self, upstream, totals, a, scale, b=None, row_reference=None, column_reference=None
    ):
        """Gradients by name, tile by tile, from that of all sums in one tensor and from the sums themselves."""
        itself = b is None
        b = a if itself else b
        num_rows, num_columns = ops.shape(a)[0], ops.shape(b)[0] if self.two_sided else 0
        row_gradient, column_gradient = (
            upstream[:num_rows],
            upstream[num_rows : num_rows + num_columns],
        )
        if self.paired:
            of_pairs = ops.expand_dims(upstream[num_rows + num_columns :] * scale, 1)
            of_rows, of_columns = {"z": of_pairs * b}, {"z": of_pairs * a}
        else:
            of_rows, of_columns = {"z": ops.zeros_like(a)}, {"z": ops.zeros_like(b)}
        if row_reference is not None:
            of_rows["reference"] = ops.zeros_like(row_reference)
        if column_reference is not None:
            of_columns["reference"] = ops.zeros_like(column_reference)
        if self.kind is LogSumExp:
            row_reference, column_reference = (_softmax_reference(total) for total in totals)
        if itself:  # what a row gives as an anchor and what it gives as a candidate, in one product
            of_columns, column_reference, column_gradient = {}, row_reference, row_gradient
        shares_terms = self.two_sided and column_reference is None
        has_own_terms = itself or (self.two_sided and not shares_terms)

        def body(rows, columns, of_rows, of_columns):
            same, dropped = self._who(rows, columns)
            candidates = columns["z"] * scale
            logits = ops.matmul(rows["z"], ops.transpose(candidates))
            upstream = ops.expand_dims(rows["upstream"], 1)
            if shares_terms:
                upstream = upstream + ops.expand_dims(columns["upstream"], 0)
            weights = (
                self._slope(_minus(logits, rows.get("reference"), 1), same, dropped) * upstream
            )
            of_rows, of_columns = dict(of_rows), dict(of_columns)
            if "reference" in of_rows:
                of_rows["reference"] -= ops.sum(weights, axis=1)
            if has_own_terms:
                others = self._slope(_minus(logits, columns.get("reference"), 0), same, dropped)
                others *= ops.expand_dims(columns["upstream"], 0)
                if "reference" in of_columns:
                    of_columns["reference"] -= ops.sum(others, axis=0)
                weights += others
            of_rows["z"] += ops.matmul(weights, candidates)
            if "z" in of_columns:
                of_columns["z"] += ops.matmul(ops.transpose(weights), rows["z"]) * scale
            return of_rows, of_columns

        rows, columns = self._sides(a, b, row_reference, column_reference)
        rows["upstream"] = row_gradient
        if shares_terms or has_own_terms:
            columns["upstream"] = column_gradient
        of_rows, of_columns = walk(body, rows, columns, of_rows, of_columns)
        of_scale = ops.vdot(ops.reshape(of_rows["z"], (-1,)), ops.reshape(a, (-1,))) / scale
        return {
            "a": of_rows["z"],
            "b": of_columns.get("z"),
            "scale": of_scale / 2
            if itself
            else of_scale,  # each pair of rows was counted from both ends
            "row_reference": of_rows.get("reference"),
            "column_reference": of_columns.get("reference"),
        }

    def _slope(self, x, same, dropped):
        return self.kind.slope(self.kind.mask(x, same, dropped), same)

    def _sides(self, a, b, row_reference, column_reference):
        """What there is to know of the rows, and of the columns."""
        sides = (
            {"z": a, "reference": row_reference},
            {"z": a if b is None else b, "reference": column_reference},
        )
        people = {
            "ids": self.relation.ids,
            "places": self.relation.places,
            "present": self.relation.present,
        }
        for place, side in enumerate(sides):
            side |= {name: pair[place] for name, pair in people.items() if pair is not None}
        return tuple({name: x for name, x in side.items() if x is not None} for side in sides)

    @staticmethod
    def _who(rows, columns):
        """Which pairs have the same id, and which are dropped; `None` for none."""
        same, dropped = (
            ops.expand_dims(rows[name], 1) == ops.expand_dims(columns[name], 0)
            if name in rows
            else None
            for name in ("ids", "places")
        )
        for axis, side in ((1, rows), (0, columns)):
            if "present" in side:
                absent = ops.expand_dims(ops.logical_not(side["present"]), axis)
                dropped = absent if dropped is None else ops.logical_or(dropped, absent)
        return same, dropped


def _minus(logits, reference, axis):
    return logits if reference is None else logits - ops.expand_dims(reference, axis)


def _softmax_reference(log_partition):
    # Of a row without any negative, whose masked logits would be at their own log-sum.
    if log_partition is None:
        return None
    return ops.where(log_partition > LOWEST / 2, log_partition, ops.zeros_like(log_partition))
