"""SupCon, supervised contrast with all positives of an anchor."""

import keras
from keras import ops

from keras_contrastive._engine import UNKNOWN, Contrast
from keras_contrastive._replicas import shared_batch
from keras_contrastive.losses._base import ContrastiveLoss


@keras.saving.register_keras_serializable(package="keras_contrastive")
class SupCon(ContrastiveLoss):
    """Supervised contrast: all rows with the anchor's label attract it, all rows of all views repel it.

    The labels are the ids: `fit(x, labels)`. All views of a row are anchors, and candidates of one another; the
    partition holds everything but the anchor itself, the positives too, so that several positives compete.
    Without labels and with two views it is NT-Xent.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the similarities.
        normalize: Whether the similarity is the cosine, or the plain inner product.
        memory: `None`, or a `kc.layers.EmbeddingQueue`.
        reduction: See `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the computation, at least float32.

    Call arguments: see `ContrastiveLoss`. `directions` is of no consequence: all views are compared with all.

    Returns:
        Nats, at least 0. `log(number of candidates)` when all embeddings coincide. Zero for an anchor without
        positives, and for one without negatives (where the published code has the competition of its positives).

    Reference:
        - [Khosla et al., 2020](https://arxiv.org/abs/2004.11362), Eq. 2 (the sum over positives outside the
          logarithm), without its factor temperature / base temperature.

    Example:

    >>> embeddings = keras.ops.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> loss = SupCon(temperature=1.0, reduction="sum")
    >>> round(float(loss(np.array([7, 7, 8]), embeddings)), 4)  # 2 (log(e + 1) - 1); the last row has no positive
    0.6265
    """

    def __init__(
        self,
        temperature=0.07,
        normalize=True,
        memory=None,
        reduction="sum_over_batch_size",
        name="sup_con",
        dtype=None,
    ):
        super().__init__(temperature, True, normalize, memory, reduction, name, dtype)

    def of_views(self, views, directions, ids, extra, present, shared, training):
        num_views, batch = len(views), ops.shape(views[0])[0]
        if num_views > 1:
            if ids is None:
                rows = ops.arange(batch, dtype="int32") if shared is None else shared.rows
                ids = UNKNOWN - 1 - rows  # which no candidate has
            views, ids = [ops.concatenate(views)], ops.concatenate([ids] * num_views)
            extra = [[candidates for of_view in extra for candidates in of_view]]
            if any(rows is not None for rows in present):
                everyone = ops.ones((batch,), dtype="bool")
                present = [
                    ops.concatenate([everyone if rows is None else rows for rows in present])
                ]
            else:
                present = [None]
            shared = shared and shared_batch(views[0])  # of as many rows for each view
        contrast = Contrast(
            views, [], ids, self.scale(), extra=extra, present=present, shared=shared
        )
        losses = self.per_direction(contrast, ids, training)
        return ops.mean(ops.reshape(losses, (num_views, batch)), axis=0)

    def per_direction(self, contrast, ids, training):
        return contrast.or_zero(contrast.candidates - contrast.positive)

    def _num_directions(self, directions):
        return 1

    def get_config(self):
        config = super().get_config()
        del config["symmetric"]
        return config
