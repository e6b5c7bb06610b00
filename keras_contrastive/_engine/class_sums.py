"""Comparison of embeddings with one vector for each class."""

from keras import ops

from keras_contrastive._engine.logit_sums import logit_sums
from keras_contrastive._engine.logit_terms import LogSumExp
from keras_contrastive._engine.pair_masks import PairMasks
from keras_contrastive._typing import Tensor


def class_sums(
    anchors: Tensor, labels: Tensor, vectors: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Compares each anchor with the vector of its class, and with those of the other classes.

    Args:
        anchors: Float `(batch, dim)`.
        labels: int32 `(batch,)`. A label that is no class counts as the nearest class.
        vectors: Float `(classes, dim)`.
        scale: Scalar, 1 / temperature.

    Returns:
        Product with the vector of the anchor's class `(batch,)`, and the log of the sum of
        exp(logit) over the other classes `(batch,)`, very low without any.
    """
    num_classes = vectors.shape[0]
    labels = ops.clip(labels, 0, num_classes - 1)
    masks = PairMasks(ids=(labels, ops.arange(num_classes, dtype="int32")))
    log_sum, _, _ = logit_sums(LogSumExp, anchors, vectors, scale, masks)
    return ops.sum(anchors * ops.take(vectors, labels, axis=0), axis=1), log_sum
