"""NT-Xent, the contrastive loss of SimCLR."""

from typing import Literal, Unpack

import keras

from keras_contrastive._typing import Layer, LossArguments
from keras_contrastive.losses._info_nce import InfoNCE


@keras.saving.register_keras_serializable(package="keras_contrastive")
class NTXent(InfoNCE):
    """Computes NT-Xent, InfoNCE with candidates from all views, the anchor's own view included.

    Use it for views of one kind, such as two random crops of each image: an anchor has
    2 (batch - 1) negatives instead of batch - 1. For modalities, use `InfoNCE`.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the
            similarities. SimCLR uses 0.1 to 0.5.
        bias_correction: `None`, or `"jackknife"`. See `InfoNCE`.
        **kwargs: See `ContrastiveLoss`.

    Call arguments: see `ContrastiveLoss`. With more than two views, each pair of views has a term
    of its own. In that term, further views of the anchor's item are neither positives nor
    negatives.

    Returns:
        Loss in nats, at least 0 up to rounding: `log(2 batch - 1)` if all embeddings of two views
        are equal, and 0 for an anchor without negatives. The loss is the mean of the two
        directions. The code of SimCLR returns their sum.

    Reference:
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), Eq. 1.

    Example:

    >>> z = keras.ops.eye(2)
    >>> loss = NTXent(temperature=1.0)
    >>> round(float(loss(None, (z, z))), 4)  # log(e + 2) - 1
    0.5514
    """

    all_views = True

    def __init__(
        self,
        temperature: float | Layer = 0.1,
        bias_correction: Literal["jackknife"] | None = None,
        **kwargs: Unpack[LossArguments],
    ) -> None:
        super().__init__(temperature, bias_correction, **kwargs)
