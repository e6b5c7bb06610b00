"""A temperature that is trained with the towers."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_contrastive")
class LearnableTemperature(keras.layers.Layer):
    """CLIP's logit scale: a trained number, kept as the logarithm of 1 / temperature.

    Give it to a loss: `InfoNCE(temperature=LearnableTemperature())`. `ContrastiveTrainer` trains and saves
    it; a plain `keras.Model` cannot, and the loss says so.

    Args:
        initial: Positive float, the temperature to start from.
        lowest: Positive float; the temperature never falls below it. CLIP's is 0.01 (a scale of 100).
            The bound is a constraint on the weight: unlike a clip, it leaves the gradient alive.
        per_direction: Whether each direction (image to text, text to image) has a temperature of its own, or
            all share one. Directions of their own share no logits: the loss then takes twice the time.

    Reference:
        - [Radford et al., 2021](https://arxiv.org/abs/2103.00020), Sec. 2.5.

    Example:

    >>> temperature = LearnableTemperature(initial=0.5)
    >>> temperature.build()
    >>> float(temperature.scale)
    2.0
    """

    def __init__(self, initial=0.07, lowest=0.01, per_direction=False, **kwargs):
        for name, value in (("initial", initial), ("lowest", lowest)):
            if not value > 0:
                raise ValueError(
                    f"`{name}` must be a positive temperature. Received: {name}={value}."
                )
        if initial < lowest:
            raise ValueError(
                f"`initial` must not be below `lowest`. Received: initial={initial}, lowest={lowest}."
            )
        kwargs.pop(
            "dtype", None
        )  # float32 under every policy: one number, and everything hangs on it
        super().__init__(dtype="float32", **kwargs)
        self.initial = initial
        self.lowest = lowest
        self.per_direction = per_direction

    def build(self, input_shape=None):
        """Create the weight; with `per_direction`, `input_shape` ends in the number of directions."""
        if self.per_direction and not (input_shape and input_shape[-1]):
            raise ValueError(
                "With `per_direction`, the last entry of `input_shape` must be the number of directions; a loss that "
                f"is given this layer builds it so. Received: input_shape={input_shape}."
            )
        self.log_scale = self.add_weight(
            name="log_scale",
            shape=tuple(input_shape[-1:]) if self.per_direction else (),
            initializer=keras.initializers.Constant(-math.log(self.initial)),
            constraint=_AtMost(-math.log(self.lowest)),
            autocast=False,
        )
        self.built = True

    @property
    def scale(self):
        """1 / temperature: a scalar tensor, or one number for each direction."""
        return ops.exp(self.log_scale)

    def call(self, similarities):
        """Logits: similarities divided by the temperature."""
        return similarities * ops.cast(self.scale, similarities.dtype)

    def get_config(self):
        own = {"initial": self.initial, "lowest": self.lowest, "per_direction": self.per_direction}
        return {**super().get_config(), **own}


class _AtMost(keras.constraints.Constraint):
    def __init__(self, bound):
        self.bound = bound

    def __call__(self, w):
        return ops.minimum(w, self.bound)
