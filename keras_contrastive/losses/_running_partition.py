"""Base of losses that weigh the batch by a running partition."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Contrast
from keras_contrastive._typing import Config, Directions, Layer, LossArguments, Tensor
from keras_contrastive.losses._base import ContrastiveLoss
from keras_contrastive.losses._item_rates import ItemRates, mean_by_id
from keras_contrastive.losses._shared_rate import SharedRate

# Averages with steps visits ** -exponent converge for exponents above 1/2 and up to 1 (Robbins and
# Monro, 1951).
_VISITS_EXPONENT = 0.7


class Estimates(NamedTuple):
    """Log-partition estimates of the items of a batch, `(batch, directions)` each."""

    before: Tensor  # without this batch, except for new items, whose estimate starts with it
    after: Tensor
    momentum: Tensor  # share of the old estimate in the new one


class RunningPartitionLoss(ContrastiveLoss):
    """Base class of losses with a running estimate of the log-partition.

    Args:
        num_items: The number of items, each with an estimate of its own. Ids are in
            `[0, num_items)`. `None` for one estimate that all items share.
        momentum: Share of the old estimate in the new one, in `[0, 1)`, or `"visits"`, which is
            1 - n**-0.7 at the n-th visit of an item. The first visit sets the estimate.
        all_views: Whether candidates come from all views.
        temperature: See `ContrastiveLoss`.
        **kwargs: See `ContrastiveLoss`.
    """

    def __init__(
        self,
        num_items: int | None,
        momentum: float | Literal["visits"],
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
        self.num_items = num_items
        self.momentum = momentum
        self.all_views = all_views
        self.state: Any = None  # `ItemRates` or `SharedRate`, created by `build`

    @property
    def layers(self) -> list[Layer]:
        return [*super().layers, *([self.state] if self.state is not None else [])]

    def build(self, directions: Directions | None = None, num_views: int | None = None) -> None:
        super().build(directions, num_views)
        num_directions = self._num_directions(directions)
        if self.state is None:
            self.state = self.new_state(num_directions)
            self.state.build()
        elif self.state.num_directions != num_directions:
            raise ValueError(
                f"This loss has running partitions for {self.state.num_directions} directions. "
                f"Received: a model with {num_directions} directions. Create a loss for each model."
            )

    def new_state(self, num_directions: int, **kwargs: Any) -> Layer:
        """Returns the layer of the estimates. `kwargs` are further arguments of `ItemRates`."""
        if self.num_items is None:
            return SharedRate(num_directions, name="shared_rate")
        return ItemRates(
            self.num_items,
            num_directions,
            moving_scale=isinstance(self.temperature, keras.layers.Layer),
            counts_visits=self.momentum == "visits",
            name="item_rates",
            **kwargs,
        )

    def update_shared_estimate(
        self, contrast: Contrast, log_partition: Tensor, prior: float | None
    ) -> tuple[Tensor, Tensor]:
        """Updates the estimate that all items share.

        Args:
            contrast: A `Contrast`.
            log_partition: Log-partition of the batch, `(batch, directions)`.
            prior: See `GammaContrastive`.

        Returns:
            `(before, share)`: the estimates before the update, `(directions,)`, and the scalar
            1 / (prior + 1).
        """
        self._check_directions(log_partition)
        fresh = self._informative(contrast, log_partition)
        momentum: Any = self.momentum
        if isinstance(momentum, str):
            momentum = _visits_momentum(self.state.step + 1, fresh.dtype)
        momentum = ops.convert_to_tensor(momentum, dtype=fresh.dtype)
        share = share_of_the_batch(prior, momentum)
        # Every replica makes the same update, that of the global batch.
        return self.state.update(contrast.batch.gather(fresh), share, momentum), share

    def update_estimates(
        self,
        contrast: Contrast,
        log_partition: Tensor,
        slope: Callable[[], Tensor],
        momentum: float | str | Tensor,
    ) -> Estimates:
        """Updates the log-partition estimates of the items of a batch.

        Args:
            contrast: A `Contrast`.
            log_partition: Log-partition of the batch, `(batch, directions)`.
            slope: Returns its derivative with respect to the log of the scale. It is called only if
                the temperature is learned.
            momentum: Float or scalar tensor, or `"visits"`.
        """
        batch = contrast.batch
        if batch.ids is None:
            raise ValueError(
                f"`{type(self).__name__}(num_items=...)` needs the ids of the items in each "
                "training step. Received: no ids. Pass integer ids as `y`. `fit` creates them only "
                "for arrays of exactly `num_items` rows."
            )
        self._check_directions(log_partition)
        scale = ops.stop_gradient(self.batch_scale(batch))
        fresh = self._informative(contrast, log_partition)
        fresh_slope = None
        if self.state.moving_scale:
            fresh_slope = ops.stop_gradient(slope()) / scale
            unknown = ops.full_like(fresh, float("-inf"))
            fresh = ops.where(ops.isfinite(fresh_slope), fresh, unknown)
        # Every replica makes the same update, that of the global batch.
        ids, fresh, fresh_slope = (batch.gather(x) for x in (batch.ids, fresh, fresh_slope))
        if len(scale.shape) == 2:  # one per row
            scale = batch.gather(scale)
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
        momentum = momentum + ops.zeros_like(new)
        return Estimates(*(batch.local(x) for x in (old, new, momentum)))

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "num_items": self.num_items,
            "momentum": self.momentum,
            "all_views": self.all_views,
        }

    def _momentum_of_items(
        self, momentum: float | str | Tensor, ids: Tensor, is_seen: Tensor, dtype: str
    ) -> Tensor:
        if isinstance(momentum, str):
            momentum = _visits_momentum(self.state.count_visits(ids, is_seen), dtype)
        return ops.convert_to_tensor(momentum, dtype=dtype)

    @staticmethod
    def _informative(contrast: Contrast, log_partition: Tensor) -> Tensor:
        """Returns the log-partition without a gradient, `-inf` for anchors without negatives."""
        fresh = ops.stop_gradient(log_partition)
        return ops.where(contrast.valid, fresh, ops.full_like(fresh, float("-inf")))

    def _check_directions(self, log_partition: Tensor) -> None:
        if log_partition.shape[1] != self.state.num_directions:
            raise ValueError(
                f"The loss has running partitions for {self.state.num_directions} directions. "
                f"Received: {log_partition.shape[1]} directions. Build it for this number of views."
            )

    def _check_layers(self, training: bool | None) -> None:
        if self.num_items and self.state is None:
            raise ValueError(
                f"`{type(self).__name__}(num_items=...)` stores state for each item, which a plain "
                "`keras.Model` neither tracks nor saves. Compile a "
                "`keras_contrastive.ContrastiveTrainer` with it. In a custom loop, call `build()` "
                "once and pass `training`. Some losses work without `num_items`."
            )
        super()._check_layers(training)


def share_of_the_batch(prior: float | None, momentum: Tensor) -> Tensor:
    """Returns 1 / (prior + 1), the share of the batch in the rate. See `GammaContrastive`."""
    return 1 - momentum if prior is None else ops.full_like(momentum, 1 / (prior + 1))


def _visits_momentum(visits: Tensor, dtype: str) -> Tensor:
    visits = ops.cast(visits, dtype)
    return 1 - ops.power(ops.maximum(visits, 1), -_VISITS_EXPONENT)
