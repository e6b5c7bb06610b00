"""Rows with the same id, found by sorting: nothing compares all rows with all."""

import itertools

import keras
from keras import ops


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
    groups = ops.cast(ops.searchsorted(ops.sort(ids), ids), "int32")  # the place of an id among the sorted ones
    return _with_gradient(groups)(rows, *more)


def _with_gradient(groups):
    def over_group(parts):
        x = ops.concatenate(parts)
        return ops.take(ops.segment_sum(x, groups, num_segments=ops.shape(x)[0]), groups, axis=0)

    @ops.custom_gradient
    def compute(*parts):
        # PyTorch keeps the inputs itself, and lets go of them sooner than of this closure.
        remembered = () if keras.backend.backend() == "torch" else parts
        batch = ops.shape(parts[0])[0]

        def gradient(*args, upstream=None):
            # PyTorch hands over the inputs, and the upstream gradient by name; the others the latter alone.
            if upstream is None:
                (upstream,) = args
                args = remembered
            rows, *more = args
            weights = ops.expand_dims(upstream, 1)
            of_rows = (over_group(args)[:batch] - 2 * rows) * weights  # as anchors; twice, as they are no others
            of_all = over_group([rows * weights, *map(ops.zeros_like, more)])  # as candidates
            ends = [batch]
            for part in more:
                ends.append(ends[-1] + ops.shape(part)[0])
            return of_rows + of_all[:batch], *(of_all[a:b] for a, b in itertools.pairwise(ends))

        rows = parts[0]
        return ops.sum(rows * (over_group(parts)[:batch] - rows), axis=1), gradient

    return compute
