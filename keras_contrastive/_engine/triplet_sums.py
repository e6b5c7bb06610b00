"""Sums over triplets, in blocks of anchors with all their candidates."""

import dataclasses
from collections.abc import Sequence

import keras
from keras import ops

from keras_contrastive._engine.batch import Batch
from keras_contrastive._engine.candidates import NO_ITEM_ID, Candidates, exists
from keras_contrastive._engine.gradients import once_differentiable, with_gradient
from keras_contrastive._engine.numerics import TIE
from keras_contrastive._engine.tiles import Side, fits_one_tile, for_each_tile, rows_per_block
from keras_contrastive._engine.triplet_mining import Mining, Pairs, mined_triplets
from keras_contrastive._typing import Tensor

_SMALLEST = 1e-30  # separates rows of zeros from each other in the order of distances


@dataclasses.dataclass(frozen=True)
class TripletRule:
    """Choice of triplets, and of their distances.

    Args:
        margin: Positive float.
        mining: See `mined_triplets`.
        squared: Whether distances are squared.
        single: Whether positives are the other rows with the anchor's id, or its own row in the
            other view.
    """

    margin: float
    mining: Mining
    squared: bool
    single: bool


def triplet_sums(rule: TripletRule, rows: Side, columns: Side) -> tuple[Tensor, Tensor]:
    """Sums `distance to positive - distance to negative + margin` over the triplets of each anchor.

    Only triplets with a positive term count. The memory is that of the rows, their gradients and
    one block. The gradient computes the distances again. Distances that fit one tile are stored,
    and the sums are plain operations.

    Args:
        rule: The triplets.
        rows: The anchors, see `sides_of_direction`.
        columns: The candidates.

    Returns:
        The sums `(anchors,)`, and the numbers of triplets as float `(anchors,)`.
    """
    if fits_one_tile(rows["z"], columns["z"]):
        return _sums_of_block(rule, rows, columns)
    num_rows = ops.shape(rows["z"])[0]
    packed = _sums_in_blocks(rule, rows, columns)
    return packed[:num_rows], ops.stop_gradient(packed[num_rows:])


def sides_of_direction(
    batch: Batch, direction: tuple[str, str], extra: Sequence[Candidates]
) -> tuple[Side, Side]:
    """Returns the anchors and the candidates of a direction, as tensors by name.

    * `z`: embeddings `(rows, dim)`.
    * `id`: int32 ids, `position`: int32 positions of rows in the global batch, or -1.
    * `exists`: which rows exist, bool.
    * `joins`: which candidates are positives of the anchors with their id, bool.
    """
    anchors, view = direction
    positions = batch.gather(batch.rows)
    all_true = ops.ones_like(positions) > 0
    rows = {"z": batch.views[anchors], "id": batch.row_ids, "position": batch.rows}
    rows["exists"] = batch.present.get(anchors, ops.ones_like(batch.rows) > 0)
    present = batch.present.get(view)
    columns = {
        "z": batch.gather(batch.views[view]),
        "id": batch.gather(batch.row_ids),
        "position": positions,
        "exists": all_true if present is None else batch.gather(present),
        "joins": all_true,
    }
    parts = [columns, *(_side_of_extra(batch, part) for part in extra)]
    if len(parts) == 1:
        return rows, columns
    return rows, {name: ops.concatenate([part[name] for part in parts]) for name in columns}


def _side_of_extra(batch: Batch, extra: Candidates) -> Side:
    no_item = ops.full_like(ops.cast(extra.embeddings[:, 0], "int32"), NO_ITEM_ID)
    ids = no_item if extra.ids is None else extra.ids
    all_true = no_item == no_item
    return {
        "z": extra.embeddings,
        # Rows without ids have their positions as ids, which are not those of items.
        "id": no_item if batch.ids is None else ids,
        "position": no_item,
        "exists": exists(extra),
        "joins": ops.logical_not(all_true) if extra.only_negatives else all_true,
    }


def _sums_in_blocks(rule: TripletRule, rows: Side, columns: Side) -> Tensor:
    """Returns the sums, and then the numbers of triplets, as one tensor."""
    attributes = [{name: x for name, x in side.items() if name != "z"} for side in (rows, columns)]

    def sides(a: Tensor, b: Tensor, tensors: Sequence[Tensor]) -> tuple[Side, Side]:
        rows, columns = keras.tree.pack_sequence_as(attributes, tensors)
        return {"z": a, **rows}, {"z": b, **columns}

    def forward(a: Tensor, b: Tensor, *tensors: Tensor) -> tuple[Tensor, None]:
        def visit(rows: Side, columns: Side, results: Side, _: Side) -> tuple[Side, Side]:
            sums, counts = _sums_of_block(rule, rows, columns)
            return {"sum": results["sum"] + sums, "count": results["count"] + counts}, {}

        start = {name: ops.zeros_like(a[:, 0]) for name in ("sum", "count")}
        shape = rows_per_block(a, b), None
        found, _ = for_each_tile(visit, *sides(a, b, tensors), start, {}, shape)
        return ops.concatenate([found["sum"], found["count"]]), None

    def backward(
        upstream: Tensor, _: None, a: Tensor, b: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        inputs = upstream, a, b
        upstream, a, b = map(ops.stop_gradient, inputs)

        def visit(
            rows: Side, columns: Side, row_grads: Side, column_grads: Side
        ) -> tuple[Side, Side]:
            a, b = rows["z"], columns["z"]
            slopes = _slopes_of_block(rule, rows, columns) * ops.expand_dims(rows["upstream"], 1)
            # The derivative of |a - b|² is 2 (a - b) for a, and 2 (b - a) for b.
            along_a, along_b = (ops.sum(slopes, axis=axis) for axis in (1, 0))
            row_grad = a * ops.expand_dims(along_a, 1) - ops.matmul(slopes, b)
            column_grad = b * ops.expand_dims(along_b, 1) - ops.matmul(ops.transpose(slopes), a)
            return (
                {"z": row_grads["z"] + 2 * row_grad},
                {"z": column_grads["z"] + 2 * column_grad},
            )

        rows, columns = sides(a, b, tensors)
        row_grads, column_grads = for_each_tile(
            visit,
            {**rows, "upstream": upstream[: ops.shape(a)[0]]},
            columns,
            {"z": ops.zeros_like(a)},
            {"z": ops.zeros_like(b)},
            (rows_per_block(a, b), None),
        )
        return tuple(once_differentiable(x["z"], *inputs) for x in (row_grads, column_grads))

    tensors = keras.tree.flatten(attributes)
    return with_gradient(forward, backward)(rows["z"], columns["z"], *tensors)


def _sums_of_block(rule: TripletRule, rows: Side, columns: Side) -> tuple[Tensor, Tensor]:
    pairs = _pairs(rule, rows, columns)
    weights, counts = map(ops.stop_gradient, mined_triplets(_detached(pairs), *_choice(rule)))
    return rule.margin * counts + ops.sum(weights * pairs.distances, axis=1), counts


def _slopes_of_block(rule: TripletRule, rows: Side, columns: Side) -> Tensor:
    """Returns the derivatives of the sums with respect to the squared distances."""
    pairs = _pairs(rule, rows, columns)
    weights, _ = mined_triplets(pairs, *_choice(rule))
    if not rule.squared:
        weights = weights / ops.where(pairs.distances > 0, 2 * pairs.distances, 1.0)
    return ops.where(pairs.distances > 0, weights, 0.0)


def _choice(rule: TripletRule) -> tuple[float, Mining]:
    return rule.margin, rule.mining


def _detached(pairs: Pairs) -> Pairs:
    return Pairs(**{name: ops.stop_gradient(x) for name, x in vars(pairs).items()})


def _pairs(rule: TripletRule, rows: Side, columns: Side) -> Pairs:
    """Returns the distances of a block of anchors to their candidates."""
    a, b = rows["z"], columns["z"]
    lengths = ops.sum(ops.square(a), axis=1, keepdims=True) + ops.sum(ops.square(b), axis=1)
    squares = lengths - 2 * ops.matmul(a, ops.transpose(b))
    # Rounding separates equal rows. Their distance is 0, where the root has no slope.
    slack = lengths * (TIE / 2) + _SMALLEST
    differ = squares > slack
    distances = ops.where(differ, squares, 1.0)
    distances = ops.where(differ, distances if rule.squared else ops.sqrt(distances), 0.0)
    same = _equal(rows["id"], columns["id"])
    itself = _equal(rows["position"], columns["position"])
    exists = ops.logical_and(ops.expand_dims(rows["exists"], 1), columns["exists"])
    positive = itself
    if rule.single:
        positive = ops.logical_and(same, ops.logical_not(itself))
        positive = ops.logical_and(positive, columns["joins"])
    return Pairs(
        ops.where(differ, squares, 0.0),
        distances,
        slack,
        ops.logical_and(positive, exists),
        ops.logical_and(ops.logical_not(same), exists),
    )


def _equal(rows: Tensor, columns: Tensor) -> Tensor:
    return ops.expand_dims(rows, 1) == ops.expand_dims(columns, 0)
