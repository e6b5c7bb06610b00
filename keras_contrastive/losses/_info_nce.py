"""InfoNCE, the contrastive loss of CPC, MoCo and CLIP."""

from typing import Literal, Unpack

import keras

from keras_contrastive import _checks
from keras_contrastive._engine import Contrast
from keras_contrastive._typing import Config, Layer, LossArguments, Tensor
from keras_contrastive.losses._arguments import value_with_gradient_of
from keras_contrastive.losses._base import ContrastiveLoss
from keras_contrastive.losses._jackknife import jackknife


@keras.saving.register_keras_serializable(package="keras_contrastive")
class InfoNCE(ContrastiveLoss):
    """Computes InfoNCE, the cross-entropy of picking each anchor's positive among its candidates.

    The candidates are the rows of the other view. With two views and `symmetric=True` this is the
    loss of CLIP. Use it for pairs, such as image and text. For two augmentations of one image, use
    `NTXent`.

    The loss compares only with the negatives of the batch, so its gradient is biased: hard
    negatives get too little weight, the more so for small batches and low temperatures.
    `bias_correction` removes the part of order 1 / batch, which is most of it unless the
    temperature is low. See also `GammaContrastive`.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the
            similarities. Typical values are 0.02 to 0.1. CLIP learns it.
        bias_correction: `None`, or `"jackknife"`: the gradient is that of a loss whose partition is
            corrected by leaving out each negative in turn. This removes the bias of order 1 /
            batch, and takes three passes over the logits instead of one: about four times the time
            of the loss alone. With one view and labels, each positive of an anchor has a correction
            of its own, and the loss takes about fifteen times the time.
        **kwargs: See `ContrastiveLoss`.

    Call arguments: see `ContrastiveLoss`. With one view and labels, the loss is the mean over the
    positives of an anchor. Each positive is compared with the negatives, not with other positives.

    Returns:
        Loss in nats, at least 0 up to rounding: `log(batch)` if all embeddings are equal, close to
        0 if every positive is recognized, and 0 for an anchor without negatives.

    Raises:
        ValueError: If `bias_correction` is neither `None` nor `"jackknife"`. See also
            `ContrastiveLoss`.

    Reference:
        - [Oord et al., 2018](https://arxiv.org/abs/1807.03748), Eq. 4.
        - [Radford et al., 2021](https://arxiv.org/abs/2103.00020), Fig. 3, for the symmetric form.

    Example:

    >>> z = keras.ops.eye(2)
    >>> loss = InfoNCE(temperature=1.0)
    >>> round(float(loss(None, (z, z))), 4)
    0.3133
    """

    takes_log_weights = True
    ignores_negatives = True

    def __init__(
        self,
        temperature: float | Layer = 0.07,
        bias_correction: Literal["jackknife"] | None = None,
        **kwargs: Unpack[LossArguments],
    ) -> None:
        super().__init__(temperature, **kwargs)
        self.bias_correction = _checks.one_of(
            "bias_correction", bias_correction, (None, "jackknife")
        )

    def per_direction(self, contrast: Contrast, training: bool | None) -> Tensor:
        # -log(e^positive / (e^positive + sum of e^negative)), without a mask if none is needed.
        if contrast.is_plain_pairs and self.bias_correction is None:
            value = contrast.log_partition - contrast.positive_logit
        else:
            value = contrast.mean_softplus(contrast.log_sum_negatives)
        if self.bias_correction is None:
            return contrast.zero_where_invalid(value)
        # The positive counts as one of as many candidates as there are negatives.
        log_mean = value + contrast.positive_logit - contrast.log_num_negatives
        corrected = jackknife(contrast, log_mean, with_positive=True) - contrast.positive_logit
        return value_with_gradient_of(
            contrast.zero_where_invalid(value), contrast.zero_where_invalid(corrected)
        )

    def get_config(self) -> Config:
        return {**super().get_config(), "bias_correction": self.bias_correction}
