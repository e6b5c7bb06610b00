"""What a loss remembers of each item."""

import keras
from keras import ops

from keras_contrastive._engine import groups_by_id, sum_over_group

_NOT_SEEN = float("-inf")  # the log of an empty sum


class ItemRates(keras.layers.Layer):
    """A running log-rate for each item and direction, a step counter and a count of capped weights.

    A rate belongs to the temperature at which it was estimated. Where that moves, its slope is remembered as well,
    the derivative of the log-rate for the scale, and a rate is read as it would be at the scale of the day.

    Ids outside `[0, num_items)` are safe on every device: they read "not seen yet", and what they
    write is lost.

    Args:
        num_items: Number of items; 0 keeps no rates, only the step.
        num_directions: Number of directions.
        moving_scale: Whether the scale (1 / temperature) changes.
        counts_visits: Whether it is known how often each rate was written.
    """

    def __init__(
        self, num_items, num_directions, moving_scale=False, counts_visits=False, **kwargs
    ):
        # Rates are logs of sums: they stay float32 under every policy.
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.num_items = num_items
        self.num_directions = num_directions
        self.moving_scale = moving_scale
        self.counts_visits = counts_visits

    def build(self, input_shape=None):
        # After gathering, each replica computes the same update.
        state = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        self.step = self.add_weight(
            name="step", shape=(), dtype="int32", initializer="zeros", **state
        )
        self.num_capped = self.add_weight(
            name="num_capped", shape=(), dtype="int32", initializer="zeros", **state
        )
        if self.num_items:
            table = {
                "shape": (
                    self.num_items + 1,
                    self.num_directions,
                ),  # the last row takes the ids that are out of range
                "dtype": "float32",
                **state,
            }
            not_seen = keras.initializers.Constant(_NOT_SEEN)
            self.log_rates = self.add_weight(name="log_rates", initializer=not_seen, **table)
            if self.moving_scale:
                self.slopes = self.add_weight(name="slopes", initializer="zeros", **table)
                self.scales = self.add_weight(name="scales", initializer="zeros", **table)
            if self.counts_visits:
                self.visits = self.add_weight(name="visits", initializer="zeros", **table)
        self.built = True

    def read(self, ids, scale):
        """Log-rates and slopes at this scale, `(batch, directions)` each.

        Log-rates are `-inf` where an item was not seen yet; slopes are `None` unless the scale moves. To first order
        in the step of the scale; what is left out is half its square times the variance of the similarities.
        """
        rows = self._rows(ids)
        rates = ops.take(self.log_rates, rows, axis=0)
        slopes = None
        if self.moving_scale:
            slopes = ops.take(self.slopes, rows, axis=0)
            rates = rates + slopes * (scale - ops.take(self.scales, rows, axis=0))
        in_range = ops.expand_dims(self._in_range(ids), 1)
        return ops.where(in_range, rates, ops.full_like(rates, _NOT_SEEN)), slopes

    def count_visits(self, ids, is_seen):
        """Count a visit of each item where it is seen; returns how many there were, `(batch, directions)`."""
        visits = ops.take(self.visits, self._rows(ids), axis=0) + ops.cast(is_seen, "float32")
        self._scatter(self.visits, ops.expand_dims(self._rows(ids), 1), visits)
        return ops.where(ops.expand_dims(self._in_range(ids), 1), visits, ops.ones_like(visits))

    def write(self, ids, log_rates, slopes, scale):
        """Store log-rates and slopes `(batch, directions)`; rows with the same id must hold the same."""
        indices = ops.expand_dims(self._rows(ids), 1)
        self._scatter(self.log_rates, indices, log_rates)
        if self.moving_scale:
            self._scatter(self.slopes, indices, slopes)
            self._scatter(self.scales, indices, ops.zeros_like(slopes) + scale)

    def advance(self, num_capped):
        """End a step in which `num_capped` weights were capped."""
        self.step.assign(self.step + 1)
        self.num_capped.assign(self.num_capped + ops.cast(num_capped, "int32"))

    @staticmethod
    def _scatter(table, indices, rows):
        table.assign(ops.scatter_update(table, indices, ops.cast(rows, "float32")))

    def _in_range(self, ids):
        return ops.logical_and(ids >= 0, ids < self.num_items)

    def _rows(self, ids):
        return ops.where(self._in_range(ids), ids, ops.full_like(ids, self.num_items))


def mean_by_id(ids, log_values, slopes=None):
    """Replace each row by the log of the mean of exp over the rows with the same id.

    Args:
        ids: int32 `(batch,)`.
        log_values: Float `(batch, directions)`; `-inf` where a row has nothing to say.
        slopes: `None`, or derivatives of `log_values`, `(batch, directions)`.

    Returns:
        `(batch, directions)`, `-inf` where no row of that id has anything to say; and its derivatives, or `None`.
    """
    groups = groups_by_id(ids)
    speaks = log_values > _NOT_SEEN
    finite = ops.where(speaks, log_values, ops.full_like(log_values, -1e30))
    largest = ops.take(
        ops.segment_max(finite, groups, num_segments=ops.shape(ids)[0]), groups, axis=0
    )
    shares = ops.where(speaks, ops.exp(finite - largest), ops.zeros_like(finite))
    sums = ops.maximum(sum_over_group(shares, groups), 1e-30)
    counts = sum_over_group(ops.cast(speaks, finite.dtype), groups)
    means = largest + ops.log(sums / ops.maximum(counts, 1))
    means = ops.where(counts > 0, means, ops.full_like(means, _NOT_SEEN))
    return means, None if slopes is None else sum_over_group(shares * slopes, groups) / sums
