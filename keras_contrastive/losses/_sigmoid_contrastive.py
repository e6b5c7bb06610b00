"""SigmoidContrastive, the pairwise loss of SigLIP."""

import keras
from keras import ops

from keras_contrastive.losses._base import ContrastiveLoss, serialized


@keras.saving.register_keras_serializable(package="keras_contrastive")
class SigmoidContrastive(ContrastiveLoss):
    """SigLIP: each pair of rows is a question of its own, "the same item?", answered by a sigmoid.

    There is no partition: the loss is a plain sum over pairs, whose gradient small batches do not bias (its
    objective is not InfoNCE's). All rows with the anchor's id are positives.

    The bias starts low because almost all pairs are negatives. Let it and the temperature be trained, in
    `ContrastiveTrainer`: `SigmoidContrastive(kc.layers.LearnableTemperature(0.1), kc.layers.LearnableBias(-10.0))`.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the similarities.
        bias: Float, or a `kc.layers.LearnableBias`. Added to the logits.
        symmetric: Whether both views of a pair are anchors in turn, or the first view only.
        normalize: Whether the similarity is the cosine, or the plain inner product.
        memory: `None`, or a `kc.layers.EmbeddingQueue`.
        reduction: See `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the computation, at least float32.

    Call arguments: see `ContrastiveLoss`.

    Returns:
        Nats, at least 0: the sum over an anchor's candidates. Zero for an anchor without negatives.

    Reference:
        - [Zhai et al., 2023](https://arxiv.org/abs/2303.15343), Sec. 3.2; temperature 0.1 and bias -10 are its
          initial values.

    Example:

    >>> embeddings = keras.ops.eye(2)
    >>> loss = SigmoidContrastive(temperature=1.0, bias=0.0)
    >>> round(float(loss(None, (embeddings, embeddings))), 4)  # log(1 + 1/e) + log(2)
    1.0064
    """

    def __init__(
        self,
        temperature=0.1,
        bias=-10.0,
        symmetric=True,
        normalize=True,
        memory=None,
        reduction="sum_over_batch_size",
        name="sigmoid_contrastive",
        dtype=None,
    ):
        super().__init__(temperature, symmetric, normalize, memory, reduction, name, dtype)
        if not isinstance(bias, (int, float, keras.layers.Layer)):
            raise TypeError(
                f"`bias` must be a float or a `keras_contrastive.layers.LearnableBias`. Received: bias={bias!r}."
            )
        self.bias = bias

    @property
    def layers(self):
        return [
            *super().layers,
            *([self.bias] if isinstance(self.bias, keras.layers.Layer) else []),
        ]

    def build(self, directions=None):
        super().build(directions)
        if isinstance(self.bias, keras.layers.Layer) and not self.bias.built:
            self.bias.build()

    def per_direction(self, contrast, ids, training):
        bias = self.bias.bias if isinstance(self.bias, keras.layers.Layer) else self.bias
        return contrast.or_zero(contrast.sigmoid_cross_entropy(ops.cast(bias, self.dtype)))

    def get_config(self):
        return {**super().get_config(), "bias": serialized(self.bias)}
