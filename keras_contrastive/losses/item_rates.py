"""What a loss remembers of each item."""

import keras
from keras import ops


class ItemRates(keras.layers.Layer):
    """A running log-rate for each item and direction, a step counter and a count of capped weights.

    Ids outside `[0, num_items)` are safe on every device: they read "not seen yet", and what they
    write is lost.

    Args:
        num_items: Number of items; 0 keeps no rates, only the step.
        num_directions: Number of directions.
    """

    def __init__(self, num_items, num_directions, **kwargs):
        # Rates are logs of sums: they stay float32 under every policy.
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.num_items = num_items
        self.num_directions = num_directions

    def build(self, input_shape=None):
        # After gathering, each replica computes the same update.
        state = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        self.step = self.add_weight(name="step", shape=(), dtype="int32", initializer="zeros", **state)
        self.num_capped = self.add_weight(name="num_capped", shape=(), dtype="int32", initializer="zeros", **state)
        if self.num_items:
            self.log_rates = self.add_weight(
                name="log_rates",
                shape=(self.num_items + 1, self.num_directions),  # the last row takes the ids that are out of range
                dtype="float32",
                initializer=keras.initializers.Constant(float("-inf")),  # the log of an empty sum: not seen yet
                **state,
            )
        self.built = True

    def read(self, ids):
        """Log-rates `(batch, directions)`, `-inf` where an item was not seen yet."""
        rates = ops.take(self.log_rates, self._rows(ids), axis=0)
        return ops.where(ops.expand_dims(self._in_range(ids), 1), rates, ops.full_like(rates, float("-inf")))

    def write(self, ids, log_rates):
        """Store log-rates `(batch, directions)`; rows with the same id must hold the same."""
        indices = ops.expand_dims(self._rows(ids), 1)
        self.log_rates.assign(ops.scatter_update(self.log_rates, indices, ops.cast(log_rates, "float32")))

    def advance(self, num_capped):
        """End a step in which `num_capped` weights were capped."""
        self.step.assign(self.step + 1)
        self.num_capped.assign(self.num_capped + ops.cast(num_capped, "int32"))

    def _in_range(self, ids):
        return ops.logical_and(ids >= 0, ids < self.num_items)

    def _rows(self, ids):
        return ops.where(self._in_range(ids), ids, ops.full_like(ids, self.num_items))


def mean_by_id(ids, log_values):
    """Replace each row by the log of the mean of exp over the rows with the same id.

    Args:
        ids: int32 `(batch,)`.
        log_values: Float `(batch, directions)`; `-inf` where a row has nothing to say.

    Returns:
        `(batch, directions)`; `-inf` where no row of that id has anything to say.
    """
    batch = ops.shape(ids)[0]
    # The place of an id among the sorted ones numbers the groups, without a (batch, batch) comparison.
    groups = ops.cast(ops.searchsorted(ops.sort(ids), ids), "int32")
    speaks = log_values > float("-inf")
    finite = ops.where(speaks, log_values, ops.full_like(log_values, -1e30))
    largest = ops.take(ops.segment_max(finite, groups, num_segments=batch), groups, axis=0)
    shares = ops.where(speaks, ops.exp(finite - largest), ops.zeros_like(finite))
    sums = ops.take(ops.segment_sum(shares, groups, num_segments=batch), groups, axis=0)
    counts = ops.take(ops.segment_sum(ops.cast(speaks, finite.dtype), groups, num_segments=batch), groups, axis=0)
    means = largest + ops.log(ops.maximum(sums, 1e-30) / ops.maximum(counts, 1))
    return ops.where(counts > 0, means, ops.full_like(means, float("-inf")))
