"""DecoupledContrastive, without the coupling of positive and negatives."""

import keras
from keras import ops

from keras_contrastive.losses._base import ContrastiveLoss, value_with_gradient_of
from keras_contrastive.losses._jackknife import check_bias_correction, jackknife


@keras.saving.register_keras_serializable(package="keras_contrastive")
class DecoupledContrastive(ContrastiveLoss):
    """DCL: the positive leaves the partition, so that an easy positive no longer silences its negatives.

    That coupling is strongest in small batches. What remains there is the bias of the logarithm of a mean over few
    negatives, which `bias_correction` or `GammaContrastive` remove.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the similarities.
        weight_sigma: `None`, or a positive float: DCLW, which multiplies the logit of each positive by
            `2 - batch * softmax(similarity / weight_sigma)`, taken over the batch, so that distant positives pull
            more than near ones. The paper's is 0.5. The factor has a gradient of its own.
        bias_correction: `None`, or `"jackknife"`: the gradient is that of the loss whose partition is corrected
            by leaving out each negative in turn, which removes the bias of order 1 / batch (at twice the time).
        all_views: Whether an anchor's candidates are the rows of all views (but the anchor itself), or those of the
            other view only. The paper's
            is all; for modalities, which may lie apart, say `False`.
        symmetric: Whether both views of a pair are anchors in turn, or the first view only.
        normalize: Whether the similarity is the cosine, or the plain inner product.
        memory: `None`, or a `kc.layers.EmbeddingQueue`.
        reduction: See `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the computation, at least float32.

    Call arguments: see `ContrastiveLoss`.

    Returns:
        Nats, and below zero where positives are recognized. `log(2 batch - 2)` when all embeddings of two views
        coincide (`log(batch - 1)` without `all_views`); zero for an anchor without negatives.

    Reference:
        - [Yeh et al., 2022](https://arxiv.org/abs/2110.06848), Eq. 6; Sec. 3.2 for the weights.

    Example:

    >>> embeddings = keras.ops.eye(2)
    >>> loss = DecoupledContrastive(temperature=1.0)
    >>> round(float(loss(None, (embeddings, embeddings))), 4)  # log(2) - 1
    -0.3069
    """

    def __init__(
        self,
        temperature=0.1,
        weight_sigma=None,
        bias_correction=None,
        all_views=True,
        symmetric=True,
        normalize=True,
        memory=None,
        reduction="sum_over_batch_size",
        name="decoupled_contrastive",
        dtype=None,
    ):
        super().__init__(temperature, symmetric, normalize, memory, reduction, name, dtype)
        check_bias_correction(bias_correction)
        if weight_sigma is not None and not weight_sigma > 0:
            raise ValueError(
                f"`weight_sigma` must be `None` or positive. Received: weight_sigma={weight_sigma}."
            )
        self.weight_sigma = weight_sigma
        self.bias_correction = bias_correction
        self.all_views = all_views

    def per_direction(self, contrast, ids, training):
        attraction = self._weights(contrast) * contrast.positive
        value = contrast.negatives - attraction
        if self.bias_correction is None:
            return contrast.or_zero(value)
        corrected = (
            jackknife(contrast, contrast.negatives - contrast.log_num_negatives) - attraction
        )
        return value_with_gradient_of(contrast.or_zero(value), contrast.or_zero(corrected))

    def _weights(self, contrast):
        if self.weight_sigma is None:
            return 1.0
        similarity = contrast.of_all(contrast.positive / self.scale() / self.weight_sigma)
        complete = contrast.of_all(contrast.complete)
        if complete is None:
            pairs = ops.cast(ops.shape(similarity)[0], similarity.dtype)
        else:
            pairs = ops.sum(ops.cast(complete, similarity.dtype), axis=0)
            similarity = ops.where(complete, similarity, ops.full_like(similarity, -1e30))
        return contrast.own(2 - pairs * ops.softmax(similarity, axis=0))

    def get_config(self):
        own = {
            "weight_sigma": self.weight_sigma,
            "bias_correction": self.bias_correction,
            "all_views": self.all_views,
        }
        return {**super().get_config(), **own}
