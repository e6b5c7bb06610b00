"""CosFace, a classification by class vectors with a margin between cosines."""

from typing import Unpack

import keras

from keras_contrastive import _checks
from keras_contrastive._typing import Config, Layer, ProxyLossArguments, Tensor
from keras_contrastive.losses._proxy_loss import ProxyLoss


@keras.saving.register_keras_serializable(package="keras_contrastive")
class CosFace(ProxyLoss):
    """Computes CosFace: a row's cosine with its class vector must win by a margin.

    It is `NormalizedSoftmax` with a margin that is subtracted from the cosine with the row's class.
    `ArcFace` has a margin between angles instead. Pass the labels as ids: `fit(x, labels)`.

    Use it for recognition of classes that are not in the training data, such as faces, from many
    labeled rows. If training does not start, lower the margin.

    Args:
        proxies: A `kc.layers.ClassProxies`. `ContrastiveTrainer` trains and saves it.
        margin: Positive float, a difference of cosines.
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the cosines. The
            papers multiply by a scale of 64, which is 1 / temperature.
        **kwargs: `reduction`, `name` and `dtype`, see `ContrastiveLoss`.

    Call arguments: see `NormalizedSoftmax`.

    Returns:
        Loss in nats, at least 0.

    Raises:
        TypeError: If `proxies` is not a `ClassProxies`.
        ValueError: If `margin` is not positive, a label is no class, or embeddings have another
            size than the class vectors.

    Reference:
        - [Wang et al., 2018](https://arxiv.org/abs/1801.09414), Eq. 4.

    Example:

    >>> proxies = keras_contrastive.layers.ClassProxies(2, dim=2, initializer="identity")
    >>> loss = CosFace(proxies, margin=0.5, temperature=1.0)
    >>> loss.build()
    >>> embeddings = keras.ops.array([[1.0, 0.0], [0.0, 3.0]])
    >>> round(float(loss(np.array([0, 1]), embeddings, training=True)), 4)  # log(1 + e^-0.5)
    0.4741
    """

    def __init__(
        self,
        proxies: Layer,
        margin: float = 0.35,
        temperature: float | Layer = 1 / 64,
        **kwargs: Unpack[ProxyLossArguments],
    ) -> None:
        super().__init__(proxies, temperature, **kwargs)
        self.margin = _checks.positive("margin", margin, "Without a margin, use NormalizedSoftmax.")

    def target_cosine(self, cosine: Tensor) -> Tensor:
        return cosine - self.margin

    def get_config(self) -> Config:
        return {**super().get_config(), "margin": self.margin}
