"""Row sums over the logits between views."""

import functools

import keras
from keras import ops

_LOG_CAP = -0.01  # log of the largest share whose logarithm of the complement is taken as it is


class Contrast:
    """The logits between views, seen only through sums over each anchor's candidates.

    A *direction* compares the anchors of one view with the candidates of another; each pair of views
    has two. Everything here has the shape `(batch, directions)`.

    The positive of an anchor is its own row in the other view, its negatives are the rows with
    another id. With a single view, the positives are the other rows with the same id, and what is
    said of "the positive" is the mean over them.

    Args:
        views: List of float tensors `(batch, dim)`, normalised if they are to be.
        pairs: List of pairs of indices into `views`: `(0, 1)` makes the directions 0 to 1 and 1 to 0.
            Empty for a single view.
        ids: Int tensor `(batch,)`, or `None` if all rows differ.
        scale: Scalar, 1 / temperature.
        symmetric: Whether a pair makes two directions or only its first.
    """

    def __init__(self, views, pairs, ids, scale, symmetric=True):
        self.views = views
        batch = ops.shape(views[0])[0]
        rows = ops.arange(batch, dtype="int32")
        ids = rows if ids is None else ids
        self._same_item = ops.expand_dims(ids, 1) == ops.expand_dims(ids, 0)  # (batch, batch)
        self._logits = []  # one (batch, batch) for each direction, anchors by row
        for a, b in pairs:
            logits = ops.matmul(views[a], ops.transpose(views[b])) * scale
            self._logits += [logits, ops.transpose(logits)] if symmetric else [logits]
        self._is_positive = ops.expand_dims(rows, 1) == ops.expand_dims(rows, 0)
        if not pairs:
            self._logits = [ops.matmul(views[0], ops.transpose(views[0])) * scale]
            self._is_positive = ops.logical_and(self._same_item, ops.logical_not(self._is_positive))

    @functools.cached_property
    def num_negatives(self):
        """How many negatives each anchor has, as float."""
        dtype = self._logits[0].dtype
        count = ops.sum(ops.cast(ops.logical_not(self._same_item), dtype), axis=1)
        return ops.stack([count] * len(self._logits), axis=1)

    @functools.cached_property
    def valid(self):
        """Whether an anchor has both a positive and a negative."""
        has_positive = ops.any(self._is_positive, axis=1, keepdims=True)
        return ops.logical_and(self.num_negatives > 0, has_positive)

    @functools.cached_property
    def positive(self):
        """Logit of the positive."""
        return self._over_directions(self._mean_over_positives)

    @functools.cached_property
    def negatives(self):
        """Log of the sum of exp(logit) over the negatives; the lowest finite number where there are none."""
        return self._over_directions(self._log_sum_negatives)

    def softplus(self, threshold):
        """log(1 + exp(threshold - logit of the positive)), `threshold` of shape `(batch, directions)`."""
        return self._over_directions(
            lambda logits, limit: self._mean_over_positives(ops.softplus(ops.expand_dims(limit, 1) - logits)),
            threshold,
        )

    def log_complement_sum(self, reference):
        """Sum over the negatives of log(1 - exp(logit - reference)).

        The share exp(logit - reference) must be at most 1. Beyond 0.99 the logarithm is continued by
        its tangent, so that a single dominating negative gives a large gradient, not an infinite one.
        """
        return self._over_directions(self._log_complements, reference)

    def _over_directions(self, reduce, *per_direction):
        columns = zip(self._logits, *(ops.unstack(x, len(self._logits), axis=1) for x in per_direction), strict=True)
        return ops.stack([reduce(*column) for column in columns], axis=1)

    def _mean_over_positives(self, values):
        is_positive = ops.cast(self._is_positive, values.dtype)
        # `where` before the product: an overflow elsewhere in the row is not to become 0 * inf.
        total = ops.sum(ops.where(self._is_positive, values, ops.zeros_like(values)), axis=1)
        return total / ops.maximum(ops.sum(is_positive, axis=1), 1)

    def _log_sum_negatives(self, logits):
        # Without any negative the maximum itself is masked, and every term is exp(0): finite, and never used.
        lowest = ops.full_like(logits, _lowest(logits.dtype))
        return ops.logsumexp(ops.where(self._same_item, lowest, logits), axis=1)

    def _log_complements(self, logits, reference):
        log_share = logits - ops.expand_dims(reference, 1)
        log_share = ops.where(self._same_item, ops.full_like(log_share, -100.0), log_share)
        capped = ops.minimum(log_share, _LOG_CAP)
        slope = -1.0 / ops.expm1(ops.convert_to_tensor(-_LOG_CAP, dtype=logits.dtype))
        return ops.sum(ops.log1p(-ops.exp(capped)) + slope * (log_share - capped), axis=1)


def _lowest(dtype):
    # A quarter of the range: twice its negative is still finite.
    return -1e308 / 4 if keras.backend.standardize_dtype(dtype) == "float64" else -3e38 / 4
