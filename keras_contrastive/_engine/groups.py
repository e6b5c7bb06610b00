"""Rows with the same id, found by sorting: nothing compares all rows with all."""

import itertools

from keras import ops

from keras_contrastive._engine.gradients import with_gradient


def groups_by_id(ids):
    """Number the groups of equal ids: int32 in `[0, batch)`, the place of an id among the sorted ones."""
    return ops.cast(ops.searchsorted(ops.sort(ids), ids), "int32")


def sum_over_group(x, groups):
    """Replace each row by the sum of the rows of its group."""
    return ops.take(ops.segment_sum(x, groups, num_segments=ops.shape(x)[0]), groups, axis=0)


def count_equal(values, among):
    """How many of the ids `among` equal each of `values`, int32."""
    among = ops.sort(among)
    above, below = (ops.searchsorted(among, values, side=side) for side in ("right", "left"))
    return ops.cast(above - below, "int32")


def products_with_others_of_the_group(rows, more, ids):
    """Sum of the inner products of each row with the other rows, and with more of them, that have its id.

    Only the rows are kept for the gradient.

    Args:
        rows: Float tensor `(batch, dim)`.
        more: List of float tensors `(any, dim)`.
        ids: Int tensor, of the rows and of what is more in their order.

    Returns:
        `(batch,)`.
    """
    groups, batch = groups_by_id(ids), ops.shape(rows)[0]

    def forward(rows, *more):
        others = sum_over_group(ops.concatenate([rows, *more]), groups)[:batch] - rows
        return ops.sum(rows * others, axis=1), None

    def backward(upstream, _, rows, *more):
        weights = ops.expand_dims(upstream, 1)
        everyone = sum_over_group(ops.concatenate([rows, *more]), groups)
        of_rows = (
            everyone[:batch] - 2 * rows
        ) * weights  # as anchors; twice, as they are no others
        weighted = ops.concatenate([rows * weights, *map(ops.zeros_like, more)])
        of_all = sum_over_group(weighted, groups)  # as candidates
        ends = list(itertools.accumulate((ops.shape(part)[0] for part in more), initial=batch))
        return of_rows + of_all[:batch], *(of_all[a:b] for a, b in itertools.pairwise(ends))

    return with_gradient(forward, backward)(rows, *more)
