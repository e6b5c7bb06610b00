"""ArcFace, a classification by class vectors with a margin between angles."""

import math
from typing import Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._typing import Config, Layer, ProxyLossArguments, Tensor
from keras_contrastive.losses._proxy_loss import ProxyLoss

_SMALLEST = 1e-8  # below the rounding of 1 - cosine² in float32


@keras.saving.register_keras_serializable(package="keras_contrastive")
class ArcFace(ProxyLoss):
    """Computes ArcFace: a row's angle with its class vector must win by a margin.

    It is `NormalizedSoftmax` with a margin that is added to the angle between a row and the vector
    of its class. Pass the labels as ids: `fit(x, labels)`. In the trainer, `predict` returns
    embeddings for search and comparison.

    Use it for recognition of classes that are not in the training data, such as faces, from many
    labeled rows. If training does not start, lower the margin. `SupCon` needs no class vectors.

    Args:
        proxies: A `kc.layers.ClassProxies`. `ContrastiveTrainer` trains and saves it.
        margin: Float in `(0, pi / 2)`, an angle in radians. (Some libraries expect degrees: 28.6
            degrees are 0.5.)
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the cosines. The
            paper multiplies by a scale of 64, which is 1 / temperature.
        **kwargs: `reduction`, `name` and `dtype`, see `ContrastiveLoss`.

    Call arguments: see `NormalizedSoftmax`.

    Returns:
        Loss in nats, at least 0.

    Raises:
        TypeError: If `proxies` is not a `ClassProxies`.
        ValueError: If `margin` is out of range, a label is no class, or embeddings have another
            size than the class vectors.

    Reference:
        - [Deng et al., 2019](https://arxiv.org/abs/1801.07698), Eq. 3. Where the angle and the
          margin are more than pi, the cosine is reduced by `margin * sin(margin)`, as in the
          published code, so that the loss keeps falling with the angle.

    Example:

    >>> proxies = keras_contrastive.layers.ClassProxies(2, dim=2, initializer="identity")
    >>> loss = ArcFace(proxies, margin=0.5, temperature=1.0)
    >>> loss.build()
    >>> embeddings = keras.ops.array([[1.0, 0.0], [0.0, 3.0]])
    >>> round(float(loss(np.array([0, 1]), embeddings, training=True)), 4)  # log(1 + e^-cos(0.5))
    0.3477
    """

    def __init__(
        self,
        proxies: Layer,
        margin: float = 0.5,
        temperature: float | Layer = 1 / 64,
        **kwargs: Unpack[ProxyLossArguments],
    ) -> None:
        super().__init__(proxies, temperature, **kwargs)
        self.margin = _checks.real(
            "margin",
            margin,
            0,
            math.pi / 2,
            include_low=False,
            include_high=False,
            expected="an angle in radians, above 0 and below pi / 2",
            hint="Convert degrees with `math.radians(28.6)`.",
        )

    def target_cosine(self, cosine: Tensor) -> Tensor:
        # The root has no slope at 0, so neither has the sine of an angle of 0.
        squared_sine = 1 - ops.square(cosine)
        has_slope = squared_sine > _SMALLEST
        sine = ops.where(has_slope, ops.sqrt(ops.where(has_slope, squared_sine, 1.0)), 0.0)
        shifted = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        lowered = cosine - self.margin * math.sin(self.margin)
        return ops.where(cosine >= -math.cos(self.margin), shifted, lowered)

    def get_config(self) -> Config:
        return {**super().get_config(), "margin": self.margin}
