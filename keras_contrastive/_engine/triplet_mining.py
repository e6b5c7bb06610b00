"""Choice of the triplets that count, from distances of anchors and candidates."""

import dataclasses
from typing import Literal, TypeAlias

from keras import ops

from keras_contrastive._engine.numerics import LOWEST
from keras_contrastive._typing import Tensor

Mining: TypeAlias = Literal["semi_hard", "hard", "all"]

_FARTHEST = -LOWEST  # sorts after all distances


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Distances of anchors and candidates, all of the shape `(anchors, candidates)`.

    Args:
        squares: Squared distances.
        distances: The distances that the loss compares: the squares or their roots.
        slack: Differences of squares that float32 cannot tell from rounding.
        positive: Which candidates are positives of an anchor, bool.
        negative: Which candidates are negatives of an anchor, bool.
    """

    squares: Tensor
    distances: Tensor
    slack: Tensor
    positive: Tensor
    negative: Tensor


def mined_triplets(pairs: Pairs, margin: float, mining: Mining) -> tuple[Tensor, Tensor]:
    """Finds the triplets for which `distance to positive - distance to negative + margin > 0`.

    The sum of these terms over the triplets of an anchor is
    `margin * count + sum(weights * distances)`.

    Args:
        pairs: The distances.
        margin: Positive float.
        mining: `"hard"` for the farthest positive with the nearest negative, `"semi_hard"` for each
            positive with the nearest negative that is farther, or else with the farthest negative,
            and `"all"` for each positive with each negative.

    Returns:
        Weights `(anchors, candidates)`: how often a candidate is the positive of a triplet, minus
        how often it is the negative. Counts of triplets, float `(anchors,)`.
    """
    functions = {"hard": _hard, "semi_hard": _semi_hard, "all": _all}
    return functions[mining](pairs, margin)


def _hard(pairs: Pairs, margin: float) -> tuple[Tensor, Tensor]:
    squares = pairs.squares
    farthest = ops.argmax(ops.where(pairs.positive, squares, LOWEST), axis=1)
    nearest = ops.argmin(ops.where(pairs.negative, squares, _FARTHEST), axis=1)
    is_farthest = ops.logical_and(_is_column(farthest, squares), pairs.positive)
    is_nearest = ops.logical_and(_is_column(nearest, squares), pairs.negative)
    signs = _number(is_farthest, squares) - _number(is_nearest, squares)
    exists = ops.logical_and(ops.any(is_farthest, axis=1), ops.any(is_nearest, axis=1))
    violates = ops.sum(signs * pairs.distances, axis=1) + margin > 0
    count = _number(ops.logical_and(exists, violates), squares)
    return signs * ops.expand_dims(count, 1), count


def _semi_hard(pairs: Pairs, margin: float) -> tuple[Tensor, Tensor]:
    squares, num_negatives = pairs.squares, _count(pairs.negative)
    # A positive comes after the negatives that are closer, or as close up to rounding.
    keys = ops.where(pairs.negative, squares, _FARTHEST)
    keys = ops.where(pairs.positive, squares + pairs.slack, keys)
    order = ops.cast(ops.argsort(keys, axis=1), "int32")
    is_negative = _int(_take(pairs.negative, order))
    num_closer = ops.cumsum(is_negative, axis=1)
    by_distance = _put(order * is_negative, ops.maximum(num_closer - 1, 0))  # the negatives
    # The negative after the closer ones is the nearest that is farther. Without one, take the last.
    last = ops.maximum(num_negatives - 1, 0)
    negative = _take(by_distance, ops.minimum(num_closer, last))
    violates = _take(pairs.distances, order) - _take(pairs.distances, negative) + margin > 0
    counts = ops.logical_and(_take(pairs.positive, order), num_negatives > 0)
    counted = _number(ops.logical_and(counts, violates), squares)
    weights = _put(counted, order) - _put(counted, negative)
    return weights, ops.sum(counted, axis=1)


def _all(pairs: Pairs, margin: float) -> tuple[Tensor, Tensor]:
    distances = pairs.distances
    negatives = ops.where(pairs.negative, distances, _FARTHEST)
    # The negatives that violate the margin of a positive come before it.
    order = ops.argsort(ops.where(pairs.positive, distances + margin, negatives), axis=1)
    positive = _number(_take(pairs.positive, order), distances)
    negative = _number(_take(pairs.negative, order), distances)
    num_negatives = positive * ops.cumsum(negative, axis=1)
    num_positives = negative * (
        ops.sum(positive, axis=1, keepdims=True) - ops.cumsum(positive, axis=1)
    )
    return _put(num_negatives - num_positives, order), ops.sum(num_negatives, axis=1)


def _is_column(index: Tensor, like: Tensor) -> Tensor:
    columns = ops.arange(ops.shape(like)[1], dtype="int32")
    return ops.expand_dims(ops.cast(index, "int32"), 1) == columns


def _number(mask: Tensor, like: Tensor) -> Tensor:
    return ops.cast(mask, like.dtype)


def _int(mask: Tensor) -> Tensor:
    return ops.cast(mask, "int32")


def _count(mask: Tensor) -> Tensor:
    return ops.sum(_int(mask), axis=1, keepdims=True)


def _take(x: Tensor, columns: Tensor) -> Tensor:
    return ops.take_along_axis(x, columns, axis=1)


def _put(x: Tensor, columns: Tensor) -> Tensor:
    """Adds up the values that go to the same column, the opposite of `_take`."""
    num_rows, num_columns = ops.shape(x)
    first = ops.expand_dims(ops.arange(num_rows, dtype="int32") * num_columns, 1)
    places = ops.reshape(first + ops.cast(columns, "int32"), (-1,))
    total = ops.segment_sum(ops.reshape(x, (-1,)), places, num_segments=num_rows * num_columns)
    return ops.reshape(total, (num_rows, num_columns))
