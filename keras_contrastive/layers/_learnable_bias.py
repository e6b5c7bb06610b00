"""A trainable bias of logits."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._typing import Config, LayerArguments, Shape, Tensor
from keras_contrastive.layers._current_value import current_value


@keras.saving.register_keras_serializable(package="keras_contrastive")
class LearnableBias(keras.layers.Layer):
    """Adds a trainable number to logits, as SigLIP does.

    Pass it to a loss: `SigmoidContrastive(bias=LearnableBias())`. `ContrastiveTrainer` trains and
    saves it. The weight is float32 under every dtype policy.

    Args:
        initial: Float, the initial value.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        logits: Float tensor of any shape.

    Returns:
        The logits plus the bias, in the dtype of the logits.

    Raises:
        TypeError: If `initial` is not a number.
        ValueError: If `initial` is not finite.

    Reference:
        - [Zhai et al., 2023](https://arxiv.org/abs/2303.15343), Sec. 3.2.

    Example:

    >>> bias = LearnableBias()
    >>> bias.build()
    >>> float(bias.bias)
    -10.0
    """

    def __init__(self, initial: float = -10.0, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.initial = _checks.real("initial", initial, expected="a finite number")

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the weight."""
        self.bias = self.add_weight(
            name="bias",
            shape=(),
            initializer=keras.initializers.Constant(self.initial),
            autocast=False,
        )
        self.built = True

    def call(self, logits: Tensor) -> Tensor:
        return logits + ops.cast(self.bias, logits.dtype)

    def get_config(self) -> Config:
        return {**super().get_config(), "initial": self.initial}

    def __repr__(self) -> str:
        value: Any = current_value(self.bias) if self.built else None
        return f"LearnableBias({self.initial if value is None else value:.4g})"
