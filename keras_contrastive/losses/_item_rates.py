"""State of each item: a running estimate of its log-partition."""

from typing import Any

import keras
from keras import ops

from keras_contrastive._engine import (
    groups_by_id,
    is_item,
    item_rows,
    sum_over_group,
    write_item_rows,
)
from keras_contrastive._keras import replicated_weight
from keras_contrastive._typing import Shape, Tensor

_NOT_SEEN = float("-inf")  # the log of an empty sum


class ItemRates(keras.layers.Layer):
    """Stores a log-partition estimate for each item and direction, and counts steps.

    An estimate belongs to the temperature at which it was made. If the temperature is learned, the
    derivative of the estimate with respect to the scale is stored as well, and the estimate is
    adjusted to the current scale when it is read.

    Ids outside of `[0, num_items)` read as never seen, and writes to them are discarded.

    Args:
        num_items: Number of items.
        num_directions: Number of directions.
        moving_scale: Whether the scale (1 / temperature) changes.
        counts_visits: Whether to count how often each estimate was written.
        counts_capped: Whether to count the weights that a loss has limited.
        **kwargs: See `keras.layers.Layer`.
    """

    def __init__(
        self,
        num_items: int,
        num_directions: int,
        moving_scale: bool = False,
        counts_visits: bool = False,
        counts_capped: bool = False,
        **kwargs: Any,
    ) -> None:
        # Estimates are logs of sums: they stay float32 under every policy.
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.num_items = num_items
        self.num_directions = num_directions
        self.moving_scale = moving_scale
        self.counts_visits = counts_visits
        self.counts_capped = counts_capped

    def build(self, input_shape: Shape | None = None) -> None:
        self.step = replicated_weight(self, "step", dtype="int32")
        if self.counts_capped:
            self.num_capped = replicated_weight(self, "num_capped", dtype="int32")
        # The last row receives the writes to ids that are out of range, see `item_rows`.
        shape = (self.num_items + 1, self.num_directions)
        not_seen = keras.initializers.Constant(_NOT_SEEN)
        self.log_rates = replicated_weight(self, "log_rates", shape, initializer=not_seen)
        if self.moving_scale:
            self.slopes = replicated_weight(self, "slopes", shape)
            self.scales = replicated_weight(self, "scales", shape)
        if self.counts_visits:
            self.visits = replicated_weight(self, "visits", shape)
        self.built = True

    def read(self, ids: Tensor, scale: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns estimates at this scale and their slopes, `(batch, directions)` each.

        The scale is a scalar, one per direction, or one per row and direction.

        Estimates are `-inf` for items that were never seen. Slopes are `None` unless the scale
        moves. The adjustment is of first order in the change of the scale. The error is half its
        square times the variance of the similarities.
        """
        rates = item_rows(self.log_rates, ids)
        slopes = None
        if self.moving_scale:
            slopes = item_rows(self.slopes, ids)
            rates = rates + slopes * (scale - item_rows(self.scales, ids))
        in_range = ops.expand_dims(is_item(ids, self.log_rates), 1)
        return ops.where(in_range, rates, ops.full_like(rates, _NOT_SEEN)), slopes

    def count_visits(self, ids: Tensor, is_seen: Tensor) -> Tensor:
        """Counts visits where `is_seen`. Returns the counts, `(batch, directions)`."""
        visits = item_rows(self.visits, ids) + ops.cast(is_seen, "float32")
        write_item_rows(self.visits, ids, visits)
        in_range = ops.expand_dims(is_item(ids, self.visits), 1)
        return ops.where(in_range, visits, ops.ones_like(visits))

    def write(self, ids: Tensor, log_rates: Tensor, slopes: Tensor | None, scale: Tensor) -> None:
        """Stores estimates and slopes `(batch, directions)`. Rows with equal ids must be equal."""
        write_item_rows(self.log_rates, ids, log_rates)
        if self.moving_scale and slopes is not None:
            write_item_rows(self.slopes, ids, slopes)
            write_item_rows(self.scales, ids, ops.zeros_like(slopes) + scale)

    def count_capped(self, count: Tensor) -> None:
        """Adds to the number of weights that the loss has limited."""
        self.num_capped.assign(self.num_capped + ops.cast(count, "int32"))

    def advance(self) -> None:
        """Ends a step."""
        self.step.assign(self.step + 1)


def mean_by_id(
    ids: Tensor, log_values: Tensor, slopes: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Replaces each row by the log of the mean of exp over the rows with its id.

    Args:
        ids: int32 `(batch,)`.
        log_values: Float `(batch, directions)`, not finite for a row without information.
        slopes: `None`, or derivatives of `log_values`, `(batch, directions)`.

    Returns:
        `(batch, directions)`, `-inf` if no row of that id has information, and its derivatives or
        `None`.
    """
    groups = groups_by_id(ids)
    is_known = ops.isfinite(log_values)
    finite = ops.where(is_known, log_values, ops.full_like(log_values, -1e30))
    largest = ops.segment_max(finite, groups, num_segments=ops.shape(ids)[0])
    largest = ops.take(largest, groups, axis=0)
    shares = ops.where(is_known, ops.exp(finite - largest), ops.zeros_like(finite))
    sums = ops.maximum(sum_over_group(shares, groups), 1e-30)
    counts = sum_over_group(ops.cast(is_known, finite.dtype), groups)
    means = largest + ops.log(sums / ops.maximum(counts, 1))
    means = ops.where(counts > 0, means, ops.full_like(means, _NOT_SEEN))
    if slopes is None:
        return means, None
    slopes = ops.where(is_known, slopes, ops.zeros_like(slopes))
    return means, sum_over_group(shares * slopes, groups) / sums
