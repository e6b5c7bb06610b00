"""SigmoidContrastive, the pairwise loss of SigLIP."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Contrast
from keras_contrastive._keras import serialize
from keras_contrastive._typing import Config, Directions, Layer, LossArguments, Tensor
from keras_contrastive.losses._base import ContrastiveLoss


@keras.saving.register_keras_serializable(package="keras_contrastive")
class SigmoidContrastive(ContrastiveLoss):
    """Computes the loss of SigLIP, a sigmoid cross-entropy for each pair of rows.

    The loss is a plain sum over pairs without a partition, so no logarithm of a sum biases its
    gradient. But negatives have more weight in larger batches, so results depend on the batch size.
    All rows with the anchor's id are positives.

    The bias starts low, because almost all pairs are negatives. Train it and the temperature with
    `ContrastiveTrainer`:
    `SigmoidContrastive(kc.layers.LearnableTemperature(0.1), kc.layers.LearnableBias(-10.0))`.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the
            similarities.
        bias: Float, or a `kc.layers.LearnableBias`. Added to the logits.
        **kwargs: See `ContrastiveLoss`.

    Call arguments: see `ContrastiveLoss`.

    Returns:
        Loss in nats, at least 0: the sum over an anchor's candidates. It is 0 for an anchor without
        negatives.

    Raises:
        TypeError: If `bias` is neither a number nor a layer. See also `ContrastiveLoss`.

    Reference:
        - [Zhai et al., 2023](https://arxiv.org/abs/2303.15343), Sec. 3.2. Its initial values are a
          temperature of 0.1 and a bias of -10.

    Example:

    >>> z = keras.ops.eye(2)
    >>> loss = SigmoidContrastive(temperature=1.0, bias=0.0)
    >>> round(float(loss(None, (z, z))), 4)  # log(1 + 1/e) + log(2)
    1.0064
    """

    ignores_negatives = True

    def __init__(
        self,
        temperature: float | Layer = 0.1,
        bias: float | Layer = -10.0,
        **kwargs: Unpack[LossArguments],
    ) -> None:
        super().__init__(temperature, **kwargs)
        if not isinstance(bias, keras.layers.Layer):
            expected = "a float or a `keras_contrastive.layers.LearnableBias`"
            bias = _checks.real("bias", bias, expected=expected)
        self.bias: Any = bias

    @property
    def layers(self) -> list[Layer]:
        return [*super().layers, *([self.bias] if self._learns_bias else [])]

    def build(self, directions: Directions | None = None, num_views: int | None = None) -> None:
        super().build(directions, num_views)
        if self._learns_bias and not self.bias.built:
            self.bias.build()

    def per_direction(self, contrast: Contrast, training: bool | None) -> Tensor:
        bias = ops.cast(self.bias.bias if self._learns_bias else self.bias, self.dtype)
        return contrast.zero_where_invalid(contrast.sigmoid_cross_entropy(bias))

    def get_config(self) -> Config:
        return {**super().get_config(), "bias": serialize(self.bias)}

    @property
    def _learns_bias(self) -> bool:
        return isinstance(self.bias, keras.layers.Layer)
