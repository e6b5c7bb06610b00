"""How far apart the modalities lie."""

import itertools

import keras
from keras import ops

from keras_contrastive.metrics._view_metric import ViewMetric, over, weighted_sum


@keras.saving.register_keras_serializable(package="keras_contrastive")
class ModalityGap(ViewMetric):
    """Distance between the centers of two views: how far apart two modalities lie as a whole.

    Towers start in different narrow cones, and a contrastive loss leaves them there: the gap stays open
    in CLIP-like models, although retrieval works. The center of a view is the mean of its normalized embeddings
    over all rows since `reset_state`, so that the value of `evaluate` does not depend on the batch size. With more
    than two views it is the mean over all pairs of them.

    It says nothing of single pairs. Their mean distance, which some call the gap as well, is `Alignment(alpha=1)`.

    Args:
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true`, `y_pred` as in `ContrastiveLoss`, `sample_weight` `(batch,)`, by which
    rows count in the centers.

    Returns:
        A number in [0, 2]: 0 where the centers coincide (as they do at the origin for views that are spread
        evenly), 2 where each view has collapsed to a point, opposite the other's. 0 before any row was seen.

    Raises:
        ValueError: There is one view only, or views of another number or dimension than before.

    Reference:
        - [Liang et al., 2022](https://arxiv.org/abs/2203.02053), Sec. 4.2, where it is a vector; this is its length.

    Example:

    >>> metric = ModalityGap()
    >>> image, text = keras.ops.array([[3.0, 4.0], [3.0, -4.0]]), keras.ops.array([[0.0, 1.0], [0.0, -1.0]])
    >>> metric.update_state(None, [image, text])
    >>> round(float(metric.result()), 4)  # from (0.6, 0) to (0, 0)
    0.6
    """

    min_views = 2

    def __init__(self, name="modality_gap", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def sum_shapes(self, num_views, dim):
        return {"rows": (num_views, dim), "weight": ()}

    def sums_of(self, ids, views, weights):
        return {"rows": weighted_sum(ops.stack(views, axis=1), weights), "weight": ops.sum(weights)}

    def value(self, sums):
        centers = ops.unstack(over(sums["rows"], sums["weight"]), axis=0)
        gaps = [ops.norm(a - b) for a, b in itertools.combinations(centers, 2)]
        return ops.mean(ops.stack(gaps))
