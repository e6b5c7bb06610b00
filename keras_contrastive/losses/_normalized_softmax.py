"""NormalizedSoftmax, a classification of cosines with one vector for each class."""

from typing import Unpack

import keras

from keras_contrastive._typing import Layer, ProxyLossArguments
from keras_contrastive.losses._proxy_loss import ProxyLoss


@keras.saving.register_keras_serializable(package="keras_contrastive")
class NormalizedSoftmax(ProxyLoss):
    """Computes the crossentropy of picking each row's class by the cosine with its vector.

    Pass the labels as ids: `fit(x, labels)`. The candidates are trainable class vectors and not
    other rows, so the loss does not depend on the batch size, and small batches train as well.
    All views of a row are compared with the vectors.

    Use it for labels with many rows per class. `ArcFace` and `CosFace` add a margin, which makes
    classes more compact. `SupCon` needs no weights, and suits classes that are not all known.

    Args:
        proxies: A `kc.layers.ClassProxies`. `ContrastiveTrainer` trains and saves it.
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the cosines.
        **kwargs: `reduction`, `name` and `dtype`, see `ContrastiveLoss`.

    Call arguments: see `ContrastiveLoss`. Labels are in `[0, num_classes)`. `directions` has no
    effect, and there are no hard negatives.

    Returns:
        Loss in nats, at least 0: `log(num_classes)` if all cosines are equal.

    Raises:
        TypeError: If `proxies` is not a `ClassProxies`.
        ValueError: If a label is no class, or embeddings have another size than the class vectors.

    Reference:
        - [Zhai and Wu, 2019](https://arxiv.org/abs/1811.12649), Eq. 2 (normalized softmax).
        - [Movshovitz-Attias et al., 2017](https://arxiv.org/abs/1703.07464), Eq. 4 (ProxyNCA), and
          [ProxyNCA++, 2020](https://arxiv.org/abs/2004.01113), Eq. 6 (ProxyNCA++). ProxyNCA++ with
          squared distances divided by T is this loss with the temperature T / 2.

    Example:

    >>> proxies = keras_contrastive.layers.ClassProxies(2, dim=2, initializer="identity")
    >>> loss = NormalizedSoftmax(proxies, temperature=1.0)
    >>> loss.build()
    >>> embeddings = keras.ops.array([[1.0, 0.0], [0.0, 3.0]])
    >>> round(float(loss(np.array([0, 1]), embeddings, training=True)), 4)  # log(1 + 1/e)
    0.3133
    """

    def __init__(
        self,
        proxies: Layer,
        temperature: float | Layer = 0.05,
        **kwargs: Unpack[ProxyLossArguments],
    ) -> None:
        super().__init__(proxies, temperature, **kwargs)
