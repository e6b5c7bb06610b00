"""NT-Xent, the contrastive loss of SimCLR."""

import keras

from keras_contrastive.losses._info_nce import InfoNCE


@keras.saving.register_keras_serializable(package="keras_contrastive")
class NTXent(InfoNCE):
    """InfoNCE whose candidates are the rows of all views: an anchor is compared with its own view as well.

    For views of one kind, such as two random crops of each image: 2 (batch - 1) negatives for each anchor
    in place of batch - 1. For modalities, which may lie apart, `InfoNCE` compares across only.

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

    Call arguments: see `ContrastiveLoss`. With more than two views, each pair of views has its own term; rows of
    the anchor's item in further views are neither its positive nor its negatives there.

    Returns:
        Nats, at least 0 up to rounding. `log(2 batch - 1)` when all embeddings of two views coincide; zero for
        an anchor without negatives. SimCLR's code adds the two directions of which this is the mean.

    Reference:
        - [Chen et al., 2020](https://arxiv.org/abs/2002.05709), Eq. 1.

    Example:

    >>> embeddings = keras.ops.eye(2)
    >>> loss = NTXent(temperature=1.0)
    >>> round(float(loss(None, (embeddings, embeddings))), 4)  # log(e + 2) - 1
    0.5514
    """

    all_views = True

    def __init__(
        self,
        temperature=0.1,
        bias_correction=None,
        symmetric=True,
        normalize=True,
        memory=None,
        reduction="sum_over_batch_size",
        name="nt_xent",
        dtype=None,
    ):
        super().__init__(
            temperature, bias_correction, symmetric, normalize, memory, reduction, name, dtype
        )
