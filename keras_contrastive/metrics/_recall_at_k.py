"""How often an anchor finds its positive in the batch."""

import itertools

import keras
from keras import ops

from keras_contrastive._engine import has_positive, nearest_positive, positive_ranks
from keras_contrastive.metrics._view_metric import unit_views


@keras.saving.register_keras_serializable(package="keras_contrastive")
class RecallAtK(keras.metrics.Mean):
    """Share of the anchors whose positive is among the k nearest candidates *of the batch*.

    It grows as the batch shrinks: compare only runs with the same batch size, and judge a model by
    `kc.evaluation.RetrievalEvaluation`, which searches a whole corpus.

    Views, ids and positives are as in the losses: each view is searched from each other view,
    candidates with the anchor's id are never in the way, and with a single view the nearest other row
    with the anchor's label counts. Similarity is the cosine. Ties are lost.

    Args:
        k: Positive int.
        name: Defaults to `recall_at_{k}`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true`, `y_pred` as in `ContrastiveLoss`, `sample_weight` `(batch,)`.

    Returns:
        A number in [0, 1]; about k / batch for embeddings that know nothing, 0 where all coincide.

    Example:
    >>> metric = RecallAtK(1)
    >>> metric.update_state(None, keras.ops.stack([keras.ops.eye(3), keras.ops.eye(3)], axis=1))
    >>> float(metric.result())
    1.0
    """

    def __init__(self, k=1, name=None, dtype=None):
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"`k` must be a positive integer. Received: k={k!r}.")
        super().__init__(name=name or f"recall_at_{k}", dtype=dtype)
        self.k = k

    def update_state(self, y_true, y_pred, sample_weight=None):
        ids, views = unit_views(y_true, y_pred)
        if ids is None:
            ids = ops.arange(ops.shape(views[0])[0], dtype="int32")
        if len(views) == 1:
            nearest = nearest_positive(views[0], views[0], ids, ids, exclude_self=True)
            hits = self._hits(views[0], views[0], ids, nearest)
            found = ops.cast(has_positive(nearest), "float32")
            sample_weight = (
                found if sample_weight is None else ops.cast(sample_weight, "float32") * found
            )
        else:
            pairs = itertools.permutations(views, 2)
            hits = [self._hits(a, b, ids, ops.sum(a * b, axis=1)) for a, b in pairs]
            hits = ops.mean(ops.stack(hits, axis=1), axis=1)
        super().update_state(hits, sample_weight)

    def _hits(self, anchors, candidates, ids, positive):
        return ops.cast(positive_ranks(anchors, candidates, ids, ids, positive) < self.k, "float32")

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype, "k": self.k}
