"""A temperature for each item."""

from typing import Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import (
    groups_by_id,
    is_item,
    item_rows,
    sum_over_group,
    write_item_rows,
)
from keras_contrastive._keras import replicated_weight, repr_from_config
from keras_contrastive._typing import Config, LayerArguments, Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_contrastive")
class ItemTemperature(keras.layers.Layer):
    """Stores a trained temperature for each item and direction, as iSogCLR does.

    Pass it to a loss with a state for each item:
    `GlobalContrastive(num_items, temperature=ItemTemperature())`. `ContrastiveTrainer` tracks and
    saves it. Items with many similar negatives get a higher temperature, rare ones a lower one. Use
    it for data whose items differ much in frequency. Otherwise a `LearnableTemperature` has fewer
    settings.

    The temperature of an item moves in each step that contains the item, with a learning rate of
    its own. It settles where the divergence of the softmax over the item's negatives from equal
    weights is `rho`: then n negatives count like `n * exp(-rho)` of equal weight.

    Args:
        initial: Positive float, the initial temperature.
        lowest: Positive float, the lower limit.
        highest: Positive float, the upper limit.
        rho: Positive float, the divergence in nats. Above the log of the number of negatives,
            temperatures fall to `lowest`.
        learning_rate: Positive float, the step size.
        momentum: In `[0, 1)`, the share of the old slope in the new one. (LibAUC's beta is 1 -
            momentum.)
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of range, or `initial` is not between the limits.

    Reference:
        - [Qiu et al., 2023](https://arxiv.org/abs/2305.11965), Alg. 1. The defaults are those of
          LibAUC for images. For image and text it has an `initial` of 0.01, limits of 0.005 and
          0.05, and a `rho` of 6.

    Example:

    >>> temperature = ItemTemperature(initial=0.5)
    >>> loss = keras_contrastive.losses.GlobalContrastive(num_items=4, temperature=temperature)
    >>> loss.build()
    >>> z = keras.ops.eye(4)
    >>> value = loss(np.array([0, 1, 2, 2]), (z, z), training=True)
    >>> # The negatives are equal, so these temperatures fall. Item 3 was not in the batch.
    >>> [round(float(row[0]), 4) for row in temperature.of_items(np.arange(4))]
    [0.4973, 0.4973, 0.4973, 0.5]
    """

    def __init__(
        self,
        initial: float = 0.1,
        lowest: float = 0.05,
        highest: float = 0.7,
        rho: float = 0.3,
        learning_rate: float = 0.01,
        momentum: float = 0.1,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**{**kwargs, "trainable": False, "dtype": "float32"})
        self.lowest = _checks.divisor("lowest", lowest, hint="It is a temperature.")
        self.highest = _checks.real(
            "highest", highest, self.lowest, hint="It is a temperature, at least `lowest`."
        )
        self.initial = _checks.real(
            "initial", initial, self.lowest, self.highest, hint="It lies between the limits."
        )
        _checks.warn_of_a_logit_scale("initial", self.initial)
        self.rho = _checks.positive("rho", rho)
        self.learning_rate = _checks.positive("learning_rate", learning_rate)
        self.momentum = _checks.real("momentum", momentum, 0, 1, include_high=False)

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the weights. A loss calls it.

        Args:
            input_shape: `(num_items, directions)`.
        """
        if input_shape is None or None in input_shape or len(input_shape) != 2:
            raise ValueError(
                "`input_shape` must be the numbers of items and of directions. "
                f"Received: input_shape={input_shape!r}. A loss builds its temperature by itself."
            )
        num_items, num_directions = input_shape
        # The last row is that of ids that are out of range.
        shape = (int(num_items or 0) + 1, int(num_directions or 0))
        initial = keras.initializers.Constant(self.initial)
        self.temperatures = replicated_weight(self, "temperatures", shape, initializer=initial)
        self.slopes = replicated_weight(self, "slopes", shape)
        self.built = True

    @property
    def scale(self) -> Tensor:
        """1 / the mean temperature: a scalar tensor."""
        return 1 / ops.mean(self.temperatures[:-1])

    def of_items(self, ids: Tensor) -> Tensor:
        """Returns the temperatures of items, `(batch, directions)`.

        Args:
            ids: int32 `(batch,)`. Ids that are out of range have the initial temperature.
        """
        return item_rows(self.temperatures, ops.convert_to_tensor(ids, dtype="int32"))

    def update(self, ids: Tensor, slopes: Tensor) -> None:
        """Takes a step for each item of a batch.

        Args:
            ids: int32 `(batch,)`, of all replicas. Rows of one item take its mean slope.
            slopes: Derivatives of the loss with respect to the temperatures, without `rho`,
                `(batch, directions)`. Those that are not finite count as unknown.
        """
        groups = groups_by_id(ids)
        known = ops.isfinite(slopes)
        counts = sum_over_group(ops.cast(known, "float32"), groups)
        totals = sum_over_group(ops.where(known, ops.cast(slopes, "float32"), 0.0), groups)
        counted = ops.logical_and(counts > 0, ops.expand_dims(is_item(ids, self.slopes), 1))
        old, temperatures = item_rows(self.slopes, ids), item_rows(self.temperatures, ids)
        fresh = totals / ops.maximum(counts, 1) + self.rho
        new = ops.where(counted, self.momentum * old + (1 - self.momentum) * fresh, old)
        moved = ops.clip(temperatures - self.learning_rate * new, self.lowest, self.highest)
        write_item_rows(self.slopes, ids, new)
        write_item_rows(self.temperatures, ids, ops.where(counted, moved, temperatures))

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "initial": self.initial,
            "lowest": self.lowest,
            "highest": self.highest,
            "rho": self.rho,
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
        }

    def __repr__(self) -> str:
        return repr_from_config(self, first="initial")
