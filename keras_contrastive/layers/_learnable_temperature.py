"""A trainable temperature."""

import math
from typing import Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._keras import AtMost
from keras_contrastive._typing import Config, LayerArguments, Shape, Tensor
from keras_contrastive.layers._current_value import current_value


@keras.saving.register_keras_serializable(package="keras_contrastive")
class LearnableTemperature(keras.layers.Layer):
    """Divides similarities by a trainable temperature, as CLIP does.

    Pass it to a loss: `InfoNCE(temperature=LearnableTemperature())`. `ContrastiveTrainer` trains
    and saves it. A plain `keras.Model` cannot train it, so the loss raises an error there.

    The weight is log(1 / temperature). It is float32 under every dtype policy, because a rounding
    error of the temperature changes all logits.

    Args:
        initial: Positive float, the initial temperature.
        lowest: Positive float, the lower limit of the temperature. CLIP uses 0.01, a scale of 100.
            The limit is a constraint on the weight. Unlike clipping, it does not set the gradient
            to zero.
        per_direction: Whether each direction, such as image to text, has its own temperature.
            Directions with different temperatures share no logits, so the loss takes twice as long.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        similarities: Float tensor `(...,)`, or `(..., directions)` with `per_direction`.

    Returns:
        Logits of the same shape and dtype.

    Raises:
        TypeError: If `initial` or `lowest` is not a number.
        ValueError: If `initial` or `lowest` is not positive, or `initial` is below `lowest`.

    Reference:
        - [Radford et al., 2021](https://arxiv.org/abs/2103.00020), Sec. 2.5.

    Example:

    >>> temperature = LearnableTemperature(initial=0.5)
    >>> temperature.build()
    >>> float(temperature.scale)
    2.0
    """

    def __init__(
        self,
        initial: float = 0.07,
        lowest: float = 0.01,
        per_direction: bool = False,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.initial = _checks.positive("initial", initial, "It is a temperature.")
        _checks.warn_of_a_logit_scale("initial", self.initial)
        self.lowest = _checks.positive("lowest", lowest, "It is a temperature.")
        if self.initial < self.lowest:
            raise ValueError(
                "`initial` must be at least `lowest`. "
                f"Received: initial={initial!r}, lowest={lowest!r}."
            )
        self.per_direction = per_direction

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the weight.

        Args:
            input_shape: With `per_direction`, a shape that ends in the number of directions.
        """
        if self.per_direction and not (input_shape and input_shape[-1]):
            raise ValueError(
                "`input_shape` must end in the number of directions if `per_direction` is True. "
                f"Received: input_shape={input_shape!r}. A loss builds its temperature by itself."
            )
        self.log_scale = self.add_weight(
            name="log_scale",
            shape=tuple(input_shape or ())[-1:] if self.per_direction else (),
            initializer=keras.initializers.Constant(-math.log(self.initial)),
            constraint=AtMost(-math.log(self.lowest)),
            autocast=False,
        )
        self.built = True

    @property
    def scale(self) -> Tensor:
        """1 / temperature: a scalar tensor, or `(directions,)` with `per_direction`."""
        return ops.exp(self.log_scale)

    def call(self, similarities: Tensor) -> Tensor:
        return similarities * ops.cast(self.scale, similarities.dtype)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "initial": self.initial,
            "lowest": self.lowest,
            "per_direction": self.per_direction,
        }

    def __repr__(self) -> str:
        log_scales = current_value(self.log_scale) if self.built else None
        if log_scales is None:
            value = f"{self.initial:.4g}"
        else:
            values = [f"{math.exp(-x):.4g}" for x in log_scales.reshape(-1).tolist()]
            value = f"[{', '.join(values)}]" if log_scales.ndim else values[0]
        options = ", per_direction=True" if self.per_direction else ""
        return f"LearnableTemperature({value}{options})"
