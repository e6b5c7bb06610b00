"""State of each direction: one running estimate of the log-partition that all items share."""

from typing import Any

import keras
from keras import ops

from keras_contrastive._keras import replicated_weight
from keras_contrastive._typing import Shape, Tensor


class SharedRate(keras.layers.Layer):
    """Stores one log-partition estimate for each direction, and counts steps.

    Args:
        num_directions: Number of directions.
        **kwargs: See `keras.layers.Layer`.
    """

    def __init__(self, num_directions: int, **kwargs: Any) -> None:
        # Estimates are logs of sums: they stay float32 under every policy.
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.num_directions = num_directions

    def build(self, input_shape: Shape | None = None) -> None:
        self.step = replicated_weight(self, "step", dtype="int32")
        not_seen = keras.initializers.Constant(float("-inf"))
        shape = (self.num_directions,)
        self.log_rates = replicated_weight(self, "log_rates", shape, initializer=not_seen)
        self.built = True

    def update(self, log_partitions: Tensor, share: Tensor, momentum: Tensor) -> Tensor:
        """Updates the estimates with the partitions of the global batch.

        The estimate r is multiplied by the mean weight of the batch, which is 1 at the optimum of
        the marginal likelihood: the mean over the rows of
        `(prior + 1) log(prior r + partition) - prior log r`. This function of log r is convex. The
        step goes toward its minimum and never beyond it.

        Args:
            log_partitions: `(global batch, directions)`, not finite for a row without information.
            share: Scalar, 1 / (prior + 1).
            momentum: Scalar, the share of the old estimate in the new one.

        Returns:
            The estimates before the update, `(directions,)`. The first batch sets them.
        """
        old = ops.cast(ops.convert_to_tensor(self.log_rates), log_partitions.dtype)
        known = ops.isfinite(log_partitions)
        has_rows = ops.any(known, axis=0)
        mean = log_mean_exp(log_partitions, known)
        used = ops.where(old > float("-inf"), old, mean)
        log_weights = log_partitions - shrunk(used, log_partitions, share)
        change = log_mean_exp(log_weights, known)
        new = used + ops.logaddexp(ops.log(momentum), ops.log1p(-momentum) + change)
        self.log_rates.assign(ops.cast(ops.where(has_rows, new, old), "float32"))
        return used

    def advance(self) -> None:
        """Ends a step."""
        self.step.assign(self.step + 1)


def shrunk(log_estimate: Tensor, log_partition: Tensor, share: Tensor) -> Tensor:
    """Returns the log of `(1 - share) * estimate + share * partition`."""
    return ops.logaddexp(ops.log1p(-share) + log_estimate, ops.log(share) + log_partition)


def log_mean_exp(values: Tensor, known: Tensor) -> Tensor:
    """Returns the log of the mean of exp over the rows where `known`, `(columns,)`."""
    lowest = ops.full_like(values, float("-inf"))
    total = ops.logsumexp(ops.where(known, values, lowest), axis=0)
    count = ops.sum(ops.cast(known, values.dtype), axis=0)
    return total - ops.log(ops.maximum(count, 1))
