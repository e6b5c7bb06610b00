"""SupCon, the supervised contrastive loss."""

from collections.abc import Mapping
from typing import Unpack

import keras
from keras import ops

from keras_contrastive._engine import Batch, Candidates, Contrast
from keras_contrastive._typing import Directions, Layer, LossArguments, Tensor
from keras_contrastive.losses._base import ContrastiveLoss


@keras.saving.register_keras_serializable(package="keras_contrastive")
class SupCon(ContrastiveLoss):
    """Computes the supervised contrastive loss: rows with the anchor's label are its positives.

    Pass the labels as ids: `fit(x, labels)`. All views of a row are anchors, and candidates of each
    other. The partition contains all candidates except the anchor, so several positives compete.
    With two views and without labels, the loss is NT-Xent.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the
            similarities.
        **kwargs: See `ContrastiveLoss`. There is no `symmetric`, because all views are compared.

    Call arguments: see `ContrastiveLoss`. `directions` has no effect.

    Returns:
        Loss in nats, at least 0: `log(number of candidates)` if all embeddings are equal. It is 0
        for an anchor without positives or without negatives. The published code returns a positive
        value for an anchor without negatives.

    Reference:
        - [Khosla et al., 2020](https://arxiv.org/abs/2004.11362), Eq. 2 (the sum over positives
          outside of the logarithm), without the factor temperature / base temperature.

    Example:

    >>> z = keras.ops.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> loss = SupCon(temperature=1.0, reduction="sum")
    >>> round(float(loss(np.array([7, 7, 8]), z)), 4)  # 2 (log(e + 1) - 1) + 0 for the last row
    0.6265
    """

    fixed_arguments = ("symmetric",)
    all_views = True
    takes_log_weights = True

    def __init__(self, temperature: float | Layer = 0.07, **kwargs: Unpack[LossArguments]) -> None:
        if "symmetric" in kwargs:
            raise TypeError(
                "`SupCon` has no argument `symmetric`, because it compares all views. "
                f"Received: symmetric={kwargs['symmetric']!r}."
            )
        super().__init__(temperature, **kwargs)

    def per_direction(self, contrast: Contrast, training: bool | None) -> Tensor:
        return contrast.zero_where_invalid(contrast.log_partition - contrast.positive_logit)

    def _weighted_mean(
        self,
        batch: Batch,
        directions: Directions,
        extra: Mapping[str, list[Candidates]],
        training: bool | None,
    ) -> Tensor:
        single = batch.as_single_view()
        (name,) = single.names
        candidates = {name: [part for parts in extra.values() for part in parts]}
        contrast = Contrast(single, [], self.scale(), extra=candidates)
        losses = self.per_direction(contrast, training)
        return ops.mean(ops.reshape(losses, (len(batch.views), -1)), axis=0)

    def _num_directions(self, directions: Directions | None) -> int:
        return 1
