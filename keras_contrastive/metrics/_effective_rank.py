"""How many directions the embeddings use."""

import keras
from keras import ops

from keras_contrastive.metrics._view_metric import ViewMetric, over


@keras.saving.register_keras_serializable(package="keras_contrastive")
class EffectiveRank(ViewMetric):
    """Number of directions that the embeddings use: a watch on collapse to a few dimensions.

    With p the spectrum of the second moments of the normalized embeddings, all rows since `reset_state`, scaled
    to sum to 1, it is

    * `order=2`: 1 / sum p², the participation ratio. It needs no decomposition and costs next to nothing.
    * `order=1`: exp(-sum p log p), the effective rank of Roy & Vetterli, more sensitive to weak directions and never
      smaller. Keras asks for the result after each step, and each time and for each view this decomposes a matrix
      `(dim, dim)`: on one CPU core 1 ms for dim 128, 4 for 256, 13 to 20 for 512, 85 to 140 for 1024; with
      `jit_compile=True` on TensorFlow 11 for 128, and 670 for 512.

    The mean over views is reported. The moments are not centered, so that embeddings which collapse to a point
    read 1, whatever noise is around the point. (It is the Vendi score, of that order, of the rows under cosine
    similarity. RankMe takes the singular values of the embeddings instead, the roots of these p, and is larger; sums in
    float32 do not resolve its weak end.)

    The state is `views * dim * dim` numbers. A pass over n rows cannot show more than n: compare with at least some
    times dim rows.

    Args:
        order: 2 or 1, of the Rényi entropy of which it is the exponential.
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true`, `y_pred` as in `ContrastiveLoss`, `sample_weight` `(batch,)`.

    Returns:
        A number in [1, dim]: 1 where all rows coincide (or are opposite), dim where they are spread evenly over
        the sphere. 0 before any row was seen, or if all were zero.

    Raises:
        ValueError: `order` is neither 1 nor 2, or the views have another number or dimension than before.

    Reference:
        - [Roy & Vetterli, 2007](https://infoscience.epfl.ch/record/110188), the effective rank.
        - [Garrido et al., 2023](https://arxiv.org/abs/2210.02885), RankMe: what it tells of a representation.
        - [Pasarkar & Dieng, 2023](https://arxiv.org/abs/2310.12952), Vendi scores of all orders.

    Example:

    >>> metric = EffectiveRank()
    >>> metric.update_state(None, [keras.ops.eye(4), keras.ops.ones((4, 4))])
    >>> round(float(metric.result()), 4)  # 4 directions and 1
    2.5
    """

    def __init__(self, order=2, name="effective_rank", dtype=None):
        if isinstance(order, bool) or order not in (1, 2):
            raise ValueError(f"`order` must be 1 or 2. Received: order={order!r}.")
        super().__init__(name=name, dtype=dtype)
        self.order = order

    def sum_shapes(self, num_views, dim):
        return {"moments": (num_views, dim, dim)}

    def sums_of(self, ids, views, weights):
        weights = ops.expand_dims(weights, 1)
        return {
            "moments": ops.stack(
                [ops.matmul(ops.transpose(view * weights), view) for view in views]
            )
        }

    def value(self, sums):
        trace = ops.trace(sums["moments"], axis1=1, axis2=2)
        moments = over(sums["moments"], ops.reshape(trace, (-1, 1, 1)))
        ranks = (
            1 / self._sum_of_squares(moments) if self.order == 2 else self._exp_of_entropy(moments)
        )
        return ops.mean(ops.where(trace > 0, ranks, 0.0))

    @staticmethod
    def _sum_of_squares(moments):
        return ops.maximum(ops.sum(ops.square(moments), axis=(1, 2)), 1e-12)

    @staticmethod
    def _exp_of_entropy(moments):
        shares = ops.maximum(ops.eigh(moments)[0], 0.0)
        return ops.exp(-ops.sum(shares * ops.log(ops.maximum(shares, 1e-30)), axis=1))

    def get_config(self):
        return {**super().get_config(), "order": self.order}
