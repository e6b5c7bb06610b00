"""The pairs of a batch in detail: their tokens, who is a negative of whom, and means over all replicas."""

from keras import ops

from keras_contrastive._engine import EMPTY, as_views
from keras_contrastive._replicas import shared_batch


class Pairs:
    """A batch of texts and images, of which this replica may hold some rows only.

    Args:
        y: Ids, or `None`.
        embeddings: Dict of `(batch, dim)` by modality.
        tokens: Dict of tokens by modality.
        mask: Bool `(batch, length)`, which tokens of the texts are there.
        present: List of bool `(batch,)`: rows where one of them is False lack a modality.
        sample_weight: `None`, or `(batch,)`.
    """

    def __init__(self, y, embeddings, tokens, mask, present=(), sample_weight=None):
        self.embeddings = embeddings
        self.tokens = tokens
        self.mask = mask
        views = list(embeddings.values())
        self.shared = shared_batch(views[0])
        self.rows = (
            ops.arange(ops.shape(views[0])[0], dtype="int32")
            if self.shared is None
            else self.shared.rows
        )
        ids, _ = as_views(y, views)
        self.ids = self.rows if ids is None else ids
        self.complete = ops.ones_like(self.rows) > 0
        for rows in present:
            self.complete = ops.logical_and(self.complete, rows)
        self.sample_weight = None
        if sample_weight is not None:
            self.sample_weight = ops.reshape(ops.cast(sample_weight, "float32"), (-1,))

    def drawn(self, matching, loss, scale, anchors, candidates, direction):
        """A negative for each anchor, as places in the whole batch, and whether there is one.

        Args:
            matching: An `ImageTextMatching`.
            loss: The `ContrastiveLoss` whose similarities count.
            scale: What they are multiplied with, a scalar.
            anchors: Name of a modality.
            candidates: Name of the other one.
            direction: Python int; other directions draw by themselves.
        """
        anchors, candidates = (
            loss.comparable(self.embeddings[name]) for name in (anchors, candidates)
        )
        there = ops.where(
            self.complete, self.ids, EMPTY
        )  # what lacks a modality is nobody's negative
        everyone, their_ids = self.of_all(candidates), self.of_all(there)
        return matching.draw(anchors * scale, everyone, self.ids, their_ids, self.rows, direction)

    def rows_of(self, x, places):
        """Rows of the whole batch, of which the replicas hold parts."""
        return ops.take(self.of_all(x), places, axis=0)

    def of_all(self, x):
        """What is known of the rows here, of those of all replicas."""
        return x if self.shared is None else self.shared.gather(x)

    def mean(self, values, asked, weighted=False):
        """Mean over the pairs that are asked for, those of all replicas; 0 if there are none.

        Args:
            values: `(batch, pairs)`, of some pairs of each row.
            asked: Bool of the same shape.
            weighted: Whether the rows have their `sample_weight`.
        """
        asked = ops.cast(asked, values.dtype)
        return self.ratio(ops.sum(values * asked, axis=1), ops.sum(asked, axis=1), weighted)

    def ratio(self, totals, counts, weighted=True):
        """Sum over sum of `(batch,)`, on all replicas; 0 where nothing is counted."""
        if weighted and self.sample_weight is not None:
            totals = totals * self.sample_weight
        return ops.sum(self.of_all(totals)) / ops.maximum(ops.sum(self.of_all(counts)), 1)
