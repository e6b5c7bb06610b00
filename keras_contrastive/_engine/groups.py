"""Rows with equal ids, found by sorting, without comparing all rows with each other."""

import itertools
from collections.abc import Sequence

from keras import ops

from keras_contrastive._engine.candidates import MISSING_ID
from keras_contrastive._engine.column_blocks import Columns, for_each_block_of_columns
from keras_contrastive._engine.gradients import with_gradient
from keras_contrastive._typing import Tensor


def groups_by_id(ids: Tensor) -> Tensor:
    """Returns a group number for each row, int32 in `[0, batch)`. Equal ids share a group."""
    return ops.cast(ops.searchsorted(ops.sort(ids), ids), "int32")


def sum_over_group(x: Tensor, groups: Tensor) -> Tensor:
    """Replaces each row by the sum of the rows of its group."""
    return ops.take(ops.segment_sum(x, groups, num_segments=ops.shape(x)[0]), groups, axis=0)


def count_equal(values: Tensor, among: Tensor) -> Tensor:
    """Returns how many of the ids `among` equal each of `values`, int32."""
    among = ops.sort(among)
    above, below = (ops.searchsorted(among, values, side=side) for side in ("right", "left"))
    return ops.cast(above - below, "int32")


def num_pairs_of_different_ids(ids: Tensor, present: Tensor | None, dtype: str) -> Tensor:
    """Returns the number of ordered pairs of rows that are present and have different ids."""
    if present is None:
        same, num_rows = count_equal(ids, ids), ops.shape(ids)[0]
    else:
        same = count_equal(ids, ops.where(present, ids, ops.full_like(ids, MISSING_ID)))
        num_rows = ops.sum(ops.cast(present, "int32"))
    others = ops.cast(num_rows - same, dtype)
    return ops.sum(others if present is None else others * ops.cast(present, dtype))


def products_with_others_of_the_group(rows: Tensor, more: Sequence[Tensor], ids: Tensor) -> Tensor:
    """Sums the inner products of each row with the other rows that have its id.

    Only the rows are stored for the gradient, and some of their columns are copied at a time.

    Args:
        rows: Float `(batch, dim)`.
        more: Float tensors `(any, dim)`, further rows.
        ids: Integer ids of the rows and of the further rows, in this order.

    Returns:
        `(batch,)`.
    """

    def forward(rows: Tensor, groups: Tensor, *more: Tensor) -> tuple[Tensor, None]:
        def add(columns: Columns, products: Tensor) -> Tensor:
            own, *others = map(columns.of, (rows, *more))
            return products + ops.sum(own * _others_of_the_group(own, others, groups), axis=1)

        return for_each_block_of_columns(add, rows, ops.zeros_like(rows[:, 0])), None

    def backward(
        upstream: Tensor, _: None, rows: Tensor, groups: Tensor, *more: Tensor
    ) -> tuple[Tensor | None, ...]:
        batch, weights = ops.shape(rows)[0], ops.expand_dims(upstream, 1)
        ends = list(itertools.accumulate((ops.shape(part)[0] for part in more), initial=batch))

        def fill(columns: Columns, gradients: list[Tensor]) -> list[Tensor]:
            own, *others = map(columns.of, (rows, *more))
            weighted = own * weights
            candidate_grads = sum_over_group(
                ops.concatenate([weighted, *map(ops.zeros_like, others)]), groups
            )
            anchor_grads = _others_of_the_group(own, others, groups) * weights - weighted
            parts = [anchor_grads + candidate_grads[:batch]]
            parts += [candidate_grads[a:b] for a, b in itertools.pairwise(ends)]
            return [columns.write(x, part) for x, part in zip(gradients, parts, strict=True)]

        start = [ops.zeros_like(x) for x in (rows, *more)]
        gradients = for_each_block_of_columns(fill, rows, start)
        return gradients[0], None, *gradients[1:]

    return with_gradient(forward, backward)(rows, groups_by_id(ids), *more)


def _others_of_the_group(own: Tensor, others: Sequence[Tensor], groups: Tensor) -> Tensor:
    """Returns the sum of the other rows of each row's group."""
    totals = sum_over_group(ops.concatenate([own, *others]), groups)
    return totals[: ops.shape(own)[0]] - own
