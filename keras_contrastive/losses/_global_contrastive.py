"""GlobalContrastive, the loss over all data with a running partition per item."""

import math
from typing import Any, Literal, Unpack

import keras
import numpy as np
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch, Contrast
from keras_contrastive._typing import Config, Directions, Layer, LossArguments, Tensor
from keras_contrastive.losses._arguments import value_with_gradient_of
from keras_contrastive.losses._running_partition import RunningPartitionLoss


@keras.saving.register_keras_serializable(package="keras_contrastive")
class GlobalContrastive(RunningPartitionLoss):
    """Computes SogCLR, the decoupled loss over all data, with a running partition per item.

    Each item and direction has a moving average u of its partition, the mean over the negatives of
    exp(logit - logit of the positive). The gradient of the logarithm of the batch's mean is
    replaced by that of the mean divided by u, which becomes exact as the averages converge, for any
    batch size. `GammaContrastive` with `draws=None` is similar, but leaves the positive out of the
    average. The loss needs ids and `ContrastiveTrainer`.

    Args:
        num_items: Positive int, the number of items. Ids are in `[0, num_items)`. An item with
            another id counts as never seen, and nothing is stored for it.
        temperature: Positive float, a `kc.layers.LearnableTemperature`, or a
            `kc.layers.ItemTemperature`, which makes this loss iSogCLR. Divides the similarities.
            With a learnable one, a stored average is adjusted to the current temperature.
        momentum: In `[0, 1)`, the share of the old average in the new one (SogCLR's gamma is
            1 - momentum). Or `"visits"`, which is 1 - n**-0.7 at the n-th visit of an item. The
            first visit sets the average. See `docs/results.md` for measurements of both.
        momentum_steps: `None` for a constant momentum, or a positive int: the momentum rises from 0
            to `momentum` along half a cosine in this many steps. FastCLIP recommends half of the
            training, and a `momentum` of 0.8.
        max_weight: Upper limit of the batch's partition divided by the average. `num_capped` counts
            how often it applied. `float("inf")` sets no limit.
        all_views: Whether candidates come from all views, or the other view only. SogCLR uses all
            views for images, and the other view for image and text.
        **kwargs: See `ContrastiveLoss`.

    Call arguments: see `ContrastiveLoss`. A training step needs ids.

    Returns:
        Loss in nats, negative if positives are recognized: the log of the *mean* over the negatives
        of the batch, minus the logit of the positive. It is 0 if all embeddings are equal, and for
        an anchor without negatives. The papers multiply it by the temperature. With a temperature
        for each item, the gradient is multiplied by the temperature over its initial value.

    Raises:
        ValueError: If a training step has no ids, or the loss is neither built nor tracked.

    Reference:
        - [Yuan et al., 2022](https://arxiv.org/abs/2202.12387), Alg. 1.
        - [Qiu et al., 2023](https://arxiv.org/abs/2305.11965), Alg. 1, for `ItemTemperature`.
        - [Wei et al., 2024](https://arxiv.org/abs/2407.01445), Sec. 4, for the cosine schedule.

    Example:

    >>> z = keras.ops.eye(4)
    >>> loss = GlobalContrastive(num_items=4, temperature=1.0)
    >>> loss.build()
    >>> round(float(loss(np.arange(4), (z, z), training=True)), 4)  # log(1) - 1
    -1.0
    """

    per_item = True

    def __init__(
        self,
        num_items: int,
        temperature: float | Layer = 0.1,
        momentum: float | Literal["visits"] = 0.1,
        momentum_steps: int | None = None,
        max_weight: float = 20.0,
        all_views: bool = False,
        **kwargs: Unpack[LossArguments],
    ) -> None:
        _checks.positive_int("num_items", num_items, "The loss stores state for each item.")
        super().__init__(num_items, momentum, all_views, temperature, **kwargs)
        if max_weight != float("inf"):  # without a cap
            max_weight = _checks.real("max_weight", max_weight, 1)
        self.max_weight = max_weight
        momentum_steps = _checks.optional_positive_int("momentum_steps", momentum_steps)
        if momentum == "visits" and momentum_steps is not None:
            raise ValueError(
                "`momentum_steps` must be `None` for a momentum of 'visits', which has a schedule "
                f"of its own. Received: momentum_steps={momentum_steps}."
            )
        self.momentum_steps = momentum_steps

    @property
    def num_capped(self) -> int:
        """Number of weights that `max_weight` has limited so far. It is 0 without state."""
        return 0 if self.state is None else int(ops.convert_to_numpy(self.state.num_capped))

    @property
    def item_temperature(self) -> Any:
        """The `ItemTemperature` of this loss, or `None`."""
        return self.temperature if hasattr(self.temperature, "of_items") else None

    def build(self, directions: Directions | None = None, num_views: int | None = None) -> None:
        if self.item_temperature is not None and not self.temperature.built:
            self.temperature.build((self.num_items, self._num_directions(directions)))
        super().build(directions, num_views)

    def batch_scale(self, batch: Batch, training: bool | None = None) -> Tensor:
        # In an evaluation, ids may be those of other items.
        if self.item_temperature is None or batch.ids is None or training is False:
            return self.scale()
        return 1 / ops.cast(self.temperature.of_items(batch.ids), self.dtype)

    def new_state(self, num_directions: int, **kwargs: Any) -> Layer:
        return super().new_state(num_directions, counts_capped=True, **kwargs)

    def per_direction(self, contrast: Contrast, training: bool | None) -> Tensor:
        log_mean = contrast.log_sum_negatives - contrast.log_num_negatives
        value = contrast.zero_where_invalid(log_mean - contrast.positive_logit)
        if training is False:
            return value
        is_learned = isinstance(self.temperature, keras.layers.Layer)
        slope = contrast.expected_logit() - contrast.positive_logit if is_learned else None
        estimates = self.update_estimates(contrast, value, lambda: slope, self._current_momentum())
        weights = self._capped_weights(contrast, value, estimates.after)
        if self.item_temperature is not None:
            # The derivative of temperature * log(u) with respect to the temperature.
            slopes = ops.stop_gradient(estimates.after - weights * slope)
            weights = weights * self._relative_temperatures(contrast, slopes)
        self.state.advance()
        # The gradient of exp(value) / u equals that of weights * value, with detached weights.
        return value_with_gradient_of(value, weights * value)

    def _relative_temperatures(self, contrast: Contrast, slopes: Tensor) -> Tensor:
        """Returns temperatures over their initial value, and then takes a step of them."""
        batch, temperature = contrast.batch, self.temperature
        relative = ops.cast(temperature.of_items(batch.ids), self.dtype) / temperature.initial
        slopes = ops.where(contrast.valid, slopes, ops.full_like(slopes, float("nan")))
        temperature.update(batch.gather(batch.ids), batch.gather(slopes))
        return relative

    def _capped_weights(self, contrast: Contrast, value: Tensor, log_estimate: Tensor) -> Tensor:
        """Returns the batch's partition divided by the estimate, at most `max_weight`."""
        gap = ops.stop_gradient(value) - log_estimate
        gap = ops.where(contrast.valid, gap, ops.zeros_like(gap))
        limit = float(np.log(self.max_weight))
        too_far = gap > limit
        self.state.count_capped(ops.sum(contrast.batch.gather(ops.cast(too_far, "int32"))))
        return ops.exp(ops.where(too_far, ops.full_like(gap, limit), gap))

    def _current_momentum(self) -> Tensor | str:
        if self.momentum_steps is None:
            return self.momentum
        progress = ops.minimum(ops.cast(self.state.step, "float32") / self.momentum_steps, 1.0)
        return self.momentum * (1 - ops.cos(math.pi * progress)) / 2

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "momentum_steps": self.momentum_steps,
            "max_weight": self.max_weight,
        }
