"""Base of losses that weigh the batch by a running partition."""

from collections.abc import Callable
from typing import Any, Literal, Unpack

import keras
import numpy as np
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Contrast
from keras_contrastive._typing import Config, Directions, Layer, LossArguments, Tensor
from keras_contrastive.losses._base import ContrastiveLoss
from keras_contrastive.losses._item_rates import ItemRates, mean_by_id

# Averages with steps visits ** -exponent converge for exponents above 1/2 and up to 1 (Robbins and
# Monro, 1951).
_VISITS_EXPONENT = 0.7


class RunningPartitionLoss(ContrastiveLoss):
    """Base class of losses with a running estimate of each item's log-partition.

    Args:
        num_items: `None`, or the number of items. Ids are in `[0, num_items)`.
        momentum: Share of the old estimate in the new one, in `[0, 1)`, or `"visits"`, which is
            1 - n**-0.7 at the n-th visit of an item. The first visit sets the estimate.
        max_weight: Upper limit of the batch's partition divided by the estimate, at least 1.
            `float("inf")` sets no limit.
        all_views: Whether candidates come from all views.
        temperature: See `ContrastiveLoss`.
        **kwargs: See `ContrastiveLoss`.
    """

    def __init__(
        self,
        num_items: int | None,
        momentum: float | Literal["visits"],
        max_weight: float,
        all_views: bool,
        temperature: float | Layer,
        **kwargs: Unpack[LossArguments],
    ) -> None:
        super().__init__(temperature, **kwargs)
        num_items = _checks.optional_positive_int("num_items", num_items)
        if isinstance(momentum, str) and momentum != "visits":
            raise ValueError(
                "`momentum` must be a number in [0, 1), or 'visits'. "
                f"Received: momentum={momentum!r}."
            )
        if momentum != "visits":
            expected = "a number in [0, 1), or 'visits'"
            momentum = _checks.real(
                "momentum", momentum, 0, 1, include_high=False, expected=expected
            )
        if max_weight != float("inf"):  # without a cap
            max_weight = _checks.real("max_weight", max_weight, 1)
        self.num_items = num_items
        self.momentum = momentum
        self.max_weight = max_weight
        self.all_views = all_views
        self.state: Any = None  # `ItemRates`, created by `build`

    @property
    def layers(self) -> list[Layer]:
        return [*super().layers, *([self.state] if self.state is not None else [])]

    @property
    def num_capped(self) -> int:
        """Number of weights that `max_weight` has limited so far. It is 0 without state."""
        return 0 if self.state is None else int(ops.convert_to_numpy(self.state.num_capped))

    def build(self, directions: Directions | None = None, num_views: int | None = None) -> None:
        super().build(directions, num_views)
        num_directions = self._num_directions(directions)
        if self.state is None:
            self.state = ItemRates(
                self.num_items or 0,
                num_directions,
                moving_scale=isinstance(self.temperature, keras.layers.Layer),
                counts_visits=self.momentum == "visits",
                name="item_rates",
            )
            self.state.build()
        elif self.num_items and self.state.num_directions != num_directions:
            raise ValueError(
                f"This loss has running partitions for {self.state.num_directions} directions. "
                f"Received: a model with {num_directions} directions. Create a loss for each model."
            )

    def update_estimates(
        self,
        contrast: Contrast,
        log_partition: Tensor,
        slope: Callable[[], Tensor],
        momentum: float | str | Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Updates the log-partition estimates of the items of a batch.

        Args:
            contrast: A `Contrast`.
            log_partition: Log-partition of the batch, `(batch, directions)`.
            slope: Returns its derivative with respect to the log of the scale. It is called only if
                the temperature is learned.
            momentum: Float or scalar tensor, or `"visits"`.

        Returns:
            Estimates before and after the update, `(batch, directions)` each.
        """
        batch = contrast.batch
        if batch.ids is None:
            raise ValueError(
                f"`{type(self).__name__}(num_items=...)` needs the ids of the items in each "
                "training step. Received: no ids. Pass integer ids as `y`. `fit` creates them only "
                "for arrays of exactly `num_items` rows."
            )
        if log_partition.shape[1] != self.state.num_directions:
            raise ValueError(
                f"The loss has running partitions for {self.state.num_directions} directions. "
                f"Received: {log_partition.shape[1]} directions. Build it for this number of views."
            )
        scale = ops.stop_gradient(self.scale())
        fresh = ops.stop_gradient(log_partition)
        fresh = ops.where(contrast.valid, fresh, ops.full_like(fresh, float("-inf")))
        fresh_slope = None
        if self.state.moving_scale:
            fresh_slope = ops.stop_gradient(slope()) / scale
            unknown = ops.full_like(fresh, float("-inf"))
            fresh = ops.where(ops.isfinite(fresh_slope), fresh, unknown)
        # Every replica makes the same update, that of the global batch.
        ids, fresh, fresh_slope = (batch.gather(x) for x in (batch.ids, fresh, fresh_slope))
        old, old_slope = self.state.read(ids, scale)
        old = ops.cast(old, fresh.dtype)
        mean, mean_slope = mean_by_id(ids, fresh, fresh_slope)
        # A new item starts with this batch. Without negatives, or if it is not finite, a batch has
        # no information and leaves the estimate exactly as it was.
        was_seen, is_seen = old > float("-inf"), mean > float("-inf")
        old, mean = ops.where(was_seen, old, mean), ops.where(is_seen, mean, old)
        momentum = self._momentum_of_items(momentum, ids, is_seen, old.dtype)
        kept, added = old + ops.log(momentum), mean + ops.log1p(-momentum)
        new = ops.where(is_seen, ops.logaddexp(kept, added), old)
        new_slope = None
        if mean_slope is not None:
            old_slope = ops.where(was_seen, old_slope, mean_slope)
            mean_slope = ops.where(is_seen, mean_slope, old_slope)
            known = ops.logical_or(was_seen, is_seen)
            finite = ops.where(known, new, ops.zeros_like(new))
            share = ops.where(known, ops.exp(added - finite), ops.zeros_like(new))
            new_slope = old_slope + share * (mean_slope - old_slope)
        self.state.write(ids, new, new_slope, scale)
        return batch.local(old), batch.local(new)

    def capped_weights(
        self, contrast: Contrast, log_partition: Tensor, log_estimate: Tensor
    ) -> Tensor:
        """Returns the batch's partition divided by the estimate, at most `max_weight`.

        It also counts the limited weights and ends the step.
        """
        fresh = ops.stop_gradient(log_partition)
        gap = ops.where(contrast.valid, fresh - log_estimate, ops.zeros_like(fresh))
        too_far = gap > np.log(self.max_weight)
        self.state.advance(ops.sum(contrast.batch.gather(ops.cast(too_far, "int32"))))
        limit = ops.full_like(gap, float(np.log(self.max_weight)))
        return ops.exp(ops.where(too_far, limit, gap))

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "num_items": self.num_items,
            "momentum": self.momentum,
            "max_weight": self.max_weight,
            "all_views": self.all_views,
        }

    def _momentum_of_items(
        self, momentum: float | str | Tensor, ids: Tensor, is_seen: Tensor, dtype: str
    ) -> Tensor:
        if isinstance(momentum, str):
            visits = ops.cast(self.state.count_visits(ids, is_seen), dtype)
            momentum = 1 - ops.power(ops.maximum(visits, 1), -_VISITS_EXPONENT)
        return ops.convert_to_tensor(momentum, dtype=dtype)

    def _check_layers(self, training: bool | None) -> None:
        if self.num_items and self.state is None:
            raise ValueError(
                f"`{type(self).__name__}(num_items=...)` stores state for each item, which a plain "
                "`keras.Model` neither tracks nor saves. Compile a "
                "`keras_contrastive.ContrastiveTrainer` with it. In a custom loop, call `build()` "
                "once and pass `training`. Some losses work without `num_items`."
            )
        super()._check_layers(training)
