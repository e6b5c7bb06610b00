"""DecoupledContrastive, the loss without the positive in the partition."""

from typing import Literal, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Contrast
from keras_contrastive._typing import Config, Layer, LossArguments, Tensor
from keras_contrastive.losses._arguments import value_with_gradient_of
from keras_contrastive.losses._base import ContrastiveLoss
from keras_contrastive.losses._jackknife import jackknife

_LOWEST_SIMILARITY = -1e30  # the softmax of a row that lacks a view is 0


@keras.saving.register_keras_serializable(package="keras_contrastive")
class DecoupledContrastive(ContrastiveLoss):
    """Computes the decoupled contrastive loss (DCL), whose partition excludes the positive.

    In InfoNCE, an easy positive reduces the gradient of its negatives, most strongly in small
    batches. Without the positive in the partition it does not. The gradient remains biased by the
    logarithm of a mean over few negatives. `bias_correction` and `GammaContrastive` reduce that
    bias.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the
            similarities.
        weight_sigma: `None`, or a positive float for DCLW: the logit of each positive is multiplied
            by `2 - batch * softmax(similarity / weight_sigma)` over the batch, so that distant
            positives have more weight. The paper uses 0.5. Gradients also flow through this factor.
        bias_correction: `None`, or `"jackknife"`. See `InfoNCE`.
        all_views: Whether candidates come from all views (the choice of the paper) or the other
            view only. Use `False` across modalities.
        **kwargs: See `ContrastiveLoss`.

    Call arguments: see `ContrastiveLoss`.

    Returns:
        Loss in nats, negative if positives are recognized: `log(2 batch - 2)` if all embeddings of
        two views are equal (`log(batch - 1)` with `all_views=False`), and 0 for an anchor without
        negatives.

    Raises:
        ValueError: If `weight_sigma` is not positive. See also `ContrastiveLoss`.

    Reference:
        - [Yeh et al., 2022](https://arxiv.org/abs/2110.06848), Eq. 6, and Sec. 3.2 for the weights.

    Example:

    >>> z = keras.ops.eye(2)
    >>> loss = DecoupledContrastive(temperature=1.0)
    >>> round(float(loss(None, (z, z))), 4)  # log(2) - 1
    -0.3069
    """

    ignores_negatives = True

    def __init__(
        self,
        temperature: float | Layer = 0.1,
        weight_sigma: float | None = None,
        bias_correction: Literal["jackknife"] | None = None,
        all_views: bool = True,
        **kwargs: Unpack[LossArguments],
    ) -> None:
        super().__init__(temperature, **kwargs)
        if weight_sigma is not None:
            weight_sigma = _checks.divisor("weight_sigma", weight_sigma)
        self.weight_sigma = weight_sigma
        self.takes_log_weights = weight_sigma is None
        self.bias_correction = _checks.one_of(
            "bias_correction", bias_correction, (None, "jackknife")
        )
        self.all_views = all_views

    def per_direction(self, contrast: Contrast, training: bool | None) -> Tensor:
        attraction = self._positive_weights(contrast) * contrast.positive_logit
        value = contrast.log_sum_negatives - attraction
        if self.bias_correction is None:
            return contrast.zero_where_invalid(value)
        log_mean = contrast.log_sum_negatives - contrast.log_num_negatives
        corrected = jackknife(contrast, log_mean) - attraction
        return value_with_gradient_of(
            contrast.zero_where_invalid(value), contrast.zero_where_invalid(corrected)
        )

    def _positive_weights(self, contrast: Contrast) -> Tensor:
        """Returns the factors of the positives' logits, whose mean over the global batch is 1."""
        if self.weight_sigma is None:
            return 1.0
        batch = contrast.batch
        similarity = batch.gather(contrast.positive_logit / self.scale() / self.weight_sigma)
        complete = batch.gather(contrast.complete)
        if complete is None:
            num_pairs = ops.cast(ops.shape(similarity)[0], similarity.dtype)
        else:
            num_pairs = ops.sum(ops.cast(complete, similarity.dtype), axis=0)
            lowest = ops.full_like(similarity, _LOWEST_SIMILARITY)
            similarity = ops.where(complete, similarity, lowest)
        return batch.local(2 - num_pairs * ops.softmax(similarity, axis=0))

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "weight_sigma": self.weight_sigma,
            "bias_correction": self.bias_correction,
            "all_views": self.all_views,
        }
