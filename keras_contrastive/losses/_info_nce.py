"""InfoNCE, the contrastive loss of CPC, MoCo and CLIP."""

import keras

from keras_contrastive.losses._base import ContrastiveLoss, value_with_gradient_of
from keras_contrastive.losses._jackknife import check_bias_correction, jackknife


@keras.saving.register_keras_serializable(package="keras_contrastive")
class InfoNCE(ContrastiveLoss):
    """Cross-entropy of picking each anchor's positive among all candidates of the other view.

    With two views and `symmetric=True` this is CLIP's loss. It compares with the negatives of this
    batch only, and the gradient of the mean over batches is not that of the loss over all data: hard
    negatives get too little weight, the less the smaller the batch and the lower the temperature.
    `bias_correction` takes away the larger part of that, `GammaContrastive` the rest.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the similarities.
        bias_correction: `None`, or `"jackknife"`: the gradient is that of the loss whose partition is corrected
            by leaving out each negative in turn, which removes the bias of order 1 / batch (at twice the time).
        symmetric: Whether both views of a pair are anchors in turn, or the first view only.
        normalize: Whether the similarity is the cosine, or the plain inner product.
        memory: `None`, or a `kc.layers.EmbeddingQueue`.
        reduction: See `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the computation, at least float32.

    Call arguments: see `ContrastiveLoss`. With one view and labels, the loss is the mean over the
    positives of an anchor; each is contrasted with the anchor's negatives, not with other positives.

    Returns:
        Nats, at least 0 up to rounding. `log(batch)` when all embeddings coincide; near zero when every positive is
        recognized; zero for an anchor without negatives.

    Reference:
        - [Oord et al., 2018](https://arxiv.org/abs/1807.03748), Eq. 4.
        - [Radford et al., 2021](https://arxiv.org/abs/2103.00020), Fig. 3, for the symmetric form.

    Example:

    >>> embeddings = keras.ops.eye(2)
    >>> loss = InfoNCE(temperature=1.0)
    >>> round(float(loss(None, (embeddings, embeddings))), 4)
    0.3133
    """

    def __init__(
        self,
        temperature=0.07,
        bias_correction=None,
        symmetric=True,
        normalize=True,
        memory=None,
        reduction="sum_over_batch_size",
        name="info_nce",
        dtype=None,
    ):
        super().__init__(temperature, symmetric, normalize, memory, reduction, name, dtype)
        check_bias_correction(bias_correction)
        self.bias_correction = bias_correction

    def per_direction(self, contrast, ids, training):
        # -log(e^positive / (e^positive + sum of e^negative)), without a mask where none is needed.
        if contrast.needs_no_mask and self.bias_correction is None:
            value = contrast.candidates - contrast.positive
        else:
            value = contrast.softplus(contrast.negatives)
        if self.bias_correction is None:
            return contrast.or_zero(value)
        # The positive counts as one of as many candidates as there are negatives.
        corrected = (
            jackknife(contrast, value + contrast.positive - contrast.log_num_negatives)
            - contrast.positive
        )
        return value_with_gradient_of(contrast.or_zero(value), contrast.or_zero(corrected))

    def get_config(self):
        return {**super().get_config(), "bias_correction": self.bias_correction}
