"""What losses share that weigh the batch by a remembered partition."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive.losses._base import ContrastiveLoss
from keras_contrastive.losses._item_rates import ItemRates, mean_by_id

# Between 1/2 and 1, where averages converge whose steps are visits ** -exponent (Robbins and Monro, 1951).
_VISITS_EXPONENT = 0.7


class RememberingLoss(ContrastiveLoss):
    """Base class of losses with a running estimate of each item's partition, its *rate*.

    Args:
        num_items: `None`, or the number of items: ids are in `[0, num_items)`.
        momentum: Share of the old rate in the new one, in `[0, 1)`, or `"visits"`: 1 - n**-0.7 at an item's n-th visit.
            An item's first visit sets its rate.
        max_weight: Cap of the partition of the batch over the rate; caps are counted.
        all_views: Whether the candidates are the rows of all views.
        **kwargs: See `ContrastiveLoss`.
    """

    def __init__(self, num_items, momentum, max_weight, all_views, **kwargs):
        super().__init__(**kwargs)
        check_count("num_items", num_items, "the number of items")
        if momentum != "visits" and (isinstance(momentum, str) or not 0 <= momentum < 1):
            raise ValueError(
                "`momentum` must be in [0, 1), the share of the old rate in the new one, or 'visits'. "
                f"Received: momentum={momentum!r}."
            )
        if not max_weight >= 1:
            raise ValueError(f"`max_weight` must be at least 1. Received: max_weight={max_weight}.")
        self.num_items = num_items
        self.momentum = momentum
        self.max_weight = max_weight
        self.all_views = all_views
        self.state: Any = None  # `ItemRates`, once built

    @property
    def layers(self):
        return [*super().layers, *([self.state] if self.state is not None else [])]

    @property
    def num_capped(self):
        """How many weights `max_weight` has capped so far, as int; 0 where nothing is remembered."""
        return 0 if self.state is None else int(ops.convert_to_numpy(self.state.num_capped))

    def build(self, directions=None):
        super().build(directions)
        num_directions = self._num_directions(directions)
        if self.state is None:
            moving_scale = isinstance(self.temperature, keras.layers.Layer)
            counts_visits = self.momentum == "visits"
            self.state = ItemRates(
                self.num_items or 0, num_directions, moving_scale, counts_visits, name="item_rates"
            )
            self.state.build()
        elif self.num_items and self.state.num_directions != num_directions:
            raise ValueError(
                f"This loss remembers rates for {self.state.num_directions} directions and cannot serve "
                f"{num_directions}. Give each model a loss of its own."
            )

    def call(
        self, y_true, y_pred, training=None, directions=None, hard_negatives=None, present=None
    ):
        if self.num_items and self.state is None:
            raise ValueError(
                f"`{type(self).__name__}(num_items=...)` remembers a rate for each item, which a plain `keras.Model` "
                "neither tracks nor saves. Compile a `keras_contrastive.ContrastiveTrainer` with it, or call `build()` "
                "and pass `training` in a loop of your own; some losses can do without `num_items`."
            )
        return super().call(y_true, y_pred, training, directions, hard_negatives, present)

    def update_rates(self, contrast, ids, fresh, slope, momentum):
        """Let the batch into the rates of its items.

        Args:
            contrast: A `Contrast`.
            ids: int32 `(batch,)`.
            fresh: `(batch, directions)`, the log-partition of the batch.
            slope: Its derivative for the logarithm of the scale, called only where the scale moves.
            momentum: Float or scalar tensor, or `"visits"`.

        Returns:
            Log-rates before and after, `(batch, directions)`.
        """
        if ids is None:
            raise ValueError(
                f"`{type(self).__name__}(num_items=...)` looks up a rate for each item, and this training step has no "
                "ids. Pass integer ids as `y` (`fit` makes them itself only for arrays of exactly `num_items` rows)."
            )
        if fresh.shape[1] != self.state.num_directions:
            raise ValueError(
                f"There are {fresh.shape[1]} directions, and rates for {self.state.num_directions}. "
                "Was the loss built for another number of views?"
            )
        fresh, scale = ops.stop_gradient(fresh), ops.stop_gradient(self.scale())
        fresh = ops.where(contrast.valid, fresh, ops.full_like(fresh, float("-inf")))
        slope = ops.stop_gradient(slope()) / scale if self.state.moving_scale else None
        # Every replica makes the same update, that of the whole batch.
        ids, fresh, slope = (contrast.of_all(x) for x in (ids, fresh, slope))
        old, old_slope = self.state.read(ids, scale)
        old = ops.cast(old, fresh.dtype)
        of_item, slope = mean_by_id(ids, fresh, slope)
        # An item not seen yet starts with this batch; a batch without negatives says nothing of an item.
        was_seen, is_seen = old > float("-inf"), of_item > float("-inf")
        old, of_item = ops.where(was_seen, old, of_item), ops.where(is_seen, of_item, old)
        if isinstance(momentum, str):
            visits = ops.cast(self.state.count_visits(ids, is_seen), old.dtype)
            momentum = 1 - ops.power(ops.maximum(visits, 1), -_VISITS_EXPONENT)
        momentum = ops.convert_to_tensor(momentum, dtype=old.dtype)
        kept, added = old + ops.log(momentum), of_item + ops.log1p(-momentum)
        new = ops.logaddexp(kept, added)
        if slope is not None:
            old_slope, slope = (
                ops.where(was_seen, old_slope, slope),
                ops.where(is_seen, slope, old_slope),
            )
            known = ops.logical_or(was_seen, is_seen)
            share = ops.where(
                known,
                ops.exp(added - ops.where(known, new, ops.zeros_like(new))),
                ops.zeros_like(new),
            )
            slope = old_slope + share * (slope - old_slope)
        self.state.write(ids, new, slope, scale)
        return contrast.own(old), contrast.own(new)

    def capped_weights(self, contrast, fresh, rate):
        """The partition of the batch over the rate, at most `max_weight`; ends the step."""
        fresh = ops.stop_gradient(fresh)
        gap = ops.where(contrast.valid, fresh - rate, ops.zeros_like(fresh))
        too_far = gap > np.log(self.max_weight)
        self.state.advance(ops.sum(contrast.of_all(ops.cast(too_far, "int32"))))
        return ops.exp(ops.where(too_far, ops.full_like(gap, float(np.log(self.max_weight))), gap))

    def get_config(self):
        return {
            **super().get_config(),
            "num_items": self.num_items,
            "momentum": self.momentum,
            "max_weight": self.max_weight,
            "all_views": self.all_views,
        }


def check_count(name, value, meaning):
    """Refuse what is neither `None` nor a positive integer."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"`{name}` must be `None` or a positive integer, {meaning}. Received: {name}={value!r}."
        )
    if value < 1:
        raise ValueError(f"`{name}` must be positive, {meaning}. Received: {name}={value}.")
