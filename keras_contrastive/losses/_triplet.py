"""Triplet, the loss of FaceNet, with mining inside the batch."""

from typing import Any, Literal, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Contrast
from keras_contrastive._typing import Config, LossArguments, Tensor
from keras_contrastive.losses._arguments import without_temperature
from keras_contrastive.losses._base import ContrastiveLoss


@keras.saving.register_keras_serializable(package="keras_contrastive")
class Triplet(ContrastiveLoss):
    """Computes the triplet loss: a positive must be closer than a negative by a margin.

    Pass the labels as ids: `fit(x, labels)`. Positives are then the other rows with the anchor's
    label. With several views, the positive is the anchor's row in the other view.

    Use it to continue a model that was trained with it, or if distances with a fixed margin are the
    product. `SupCon` with labels, and `InfoNCE` with pairs, compare an anchor with all candidates
    at once and usually train better embeddings.

    Args:
        margin: Positive float. A triplet costs
            `max(distance to positive - distance to negative + margin, 0)`.
        mining: Which triplets of a batch count:

            * `"semi_hard"`: each positive with the nearest negative that is farther than it. If
              there is none, with the farthest negative. The loss is the mean over all positive
              pairs.
            * `"hard"`: the farthest positive with the nearest negative. The loss is the mean over
              the anchors. It may collapse early in training. With pairs of image and text, it is
              the loss of VSE++.
            * `"all"`: each positive with each negative. The loss is the mean over the triplets with
              a positive cost, since most of them soon cost nothing.
        distance: `"euclidean"`, or `"squared_euclidean"`. With `normalize`, the second is twice the
            cosine distance, so a margin of 0.4 stands for one of 0.2 between cosines.
        **kwargs: See `ContrastiveLoss`. `normalize=True` scales embeddings to unit length first, so
            that distances are at most 2. There is no `temperature`.

    Call arguments: see `ContrastiveLoss`.

    Returns:
        Loss in units of the distance, at least 0: `margin` if all embeddings are equal. It is 0 for
        an anchor without positives or without negatives. Rows closer than 0.001 of their length
        have the distance 0, without a gradient.

        The mean over positive pairs or triplets is that of the whole batch. So the losses of the
        anchors are scaled to have it as their mean.

    Raises:
        TypeError: If `margin` is not a number. See also `ContrastiveLoss`.
        ValueError: If `margin` is not positive, or `mining` or `distance` is unknown.

    Reference:
        - [Schroff et al., 2015](https://arxiv.org/abs/1503.03832), Eq. 3 and 4, with squared
          distances. The fallback to the farthest negative is that of TensorFlow Addons, and the
          default equals its `TripletSemiHardLoss` of embeddings with unit length.
        - [Hermans et al., 2017](https://arxiv.org/abs/1703.07737), Eq. 5 (`"hard"`), and Eq. 6 with
          the mean of Sec. 4.2 over nonzero terms (`"all"`).
        - [Faghri et al., 2018](https://arxiv.org/abs/1707.05612), Eq. 6: VSE++.

    Example:

    >>> z = keras.ops.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> loss = Triplet(margin=1.0, mining="hard", reduction=None)
    >>> # Distances to the positive are sqrt(2), to the negative 2 and sqrt(2).
    >>> [round(float(x), 4) for x in loss(np.array([7, 7, 8]), z)]
    [0.4142, 1.0, 0.0]
    """

    fixed_arguments = ("temperature",)

    def __init__(
        self,
        margin: float = 1.0,
        mining: Literal["semi_hard", "hard", "all"] = "semi_hard",
        distance: Literal["euclidean", "squared_euclidean"] = "euclidean",
        **kwargs: Unpack[LossArguments],
    ) -> None:
        super().__init__(1.0, **without_temperature("Triplet", kwargs, "margin"))
        self.margin = _checks.positive("margin", margin)
        self.mining: Any = _checks.one_of("mining", mining, ("semi_hard", "hard", "all"))
        self.distance = _checks.one_of("distance", distance, ("euclidean", "squared_euclidean"))

    def per_direction(self, contrast: Contrast, training: bool | None) -> Tensor:
        is_squared = self.distance == "squared_euclidean"
        sums, counts = contrast.triplets(self.margin, self.mining, is_squared)
        if self.mining == "hard":
            return sums
        if self.mining == "semi_hard":
            counts = ops.where(contrast.valid, contrast.num_positives, 0.0)
        batch = contrast.batch
        anchors = ops.ones_like(sums) if contrast.complete is None else contrast.complete
        num_anchors, num_terms = (
            ops.sum(ops.cast(batch.gather(x), sums.dtype), axis=0) for x in (anchors, counts)
        )
        return sums * (num_anchors / ops.maximum(num_terms, 1))

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "margin": self.margin,
            "mining": self.mining,
            "distance": self.distance,
        }
