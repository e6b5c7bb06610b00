"""Row sums over the logits between views."""

import dataclasses
from typing import Any

from keras import ops

from keras_contrastive._engine.groups import count_equal, products_with_others_of_the_group
from keras_contrastive._engine.logit_sums import Relation, logit_sums
from keras_contrastive._engine.logit_terms import (
    LogComplements,
    LogSumExp,
    NegativeEntropy,
    PositiveSoftplus,
    SigmoidCrossEntropy,
)

NOBODY, EMPTY = (
    -1,
    -2,
)  # ids of a candidate that is nobody's positive, and of one that does not exist
UNKNOWN = -3  # from here down, ids of anchors of which nothing is known, and which no candidate has


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Candidates that are no rows of the batch: hard negatives, or embeddings remembered from other batches.

    Args:
        embeddings: Float tensor `(candidates, dim)`.
        ids: int32 `(candidates,)`, where `NOBODY` is nobody's and `EMPTY` is left out; `None` if all are nobody's.
    """

    embeddings: Any
    ids: Any = None


class _computed_once:  # noqa: N801 - a decorator
    """`functools.cached_property` without its lock.

    Up to Python 3.11 all instances share that lock. The replicas of `tf.distribute` are threads that hand over to one
    another in the middle of a gather: one would wait for the lock of the other forever.
    """

    def __init__(self, compute):
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        value = vars(instance)[self.compute.__name__] = self.compute(instance)
        return value


class Contrast:
    """The logits between views, seen only through sums over each anchor's candidates.

    A *direction* compares the anchors of one view with the candidates of another; each pair of views
    has two. Everything here has the shape `(batch, directions)`. No matrix of logits is stored: each sum
    is one walk over their tiles, and so is its gradient.

    The positive of an anchor is its own row in the other view, its negatives are the rows with
    another id. With a single view, the positives are the other candidates with the same id, and what is
    said of "the positive" is the mean over them.

    Args:
        views: List of float tensors `(batch, dim)`, normalized if they are to be.
        directions: List of pairs of indices into `views`, those of the anchors and of their candidates. Empty for a
            single view.
        ids: Int tensor `(batch,)`, or `None` if all rows differ.
        scale: 1 / temperature: a scalar, or one for each direction, `(directions,)`, or for each of its anchors,
            `(batch, directions)`. Only a scalar lets the two directions of a pair share their logits.
        all_views: Whether the candidates are the rows of all views (but the anchor itself), or of the other view.
        extra: `None`, or for each view a list of `Candidates` that join its rows as candidates.
        present: `None`, or for each view bool `(batch,)`, or `None` where no row is missing: a missing row is no anchor
            and no candidate.
        shared: `None`, or the `keras_contrastive._replicas.SharedBatch` whose rows these are: the candidates are
            then the rows of all replicas, the anchors those of this one.
    """

    def __init__(
        self, views, directions, ids, scale, all_views=False, extra=None, present=None, shared=None
    ):
        self.views = views
        self.shared = shared
        self.directions = list(directions) or [(0, 0)]
        self._single = not directions
        self._all_views = all_views
        self._extra = extra or [[] for _ in views]
        self._present = present or [None] * len(views)
        if self._single and ids is not None and self._present[0] is not None:
            ids = ops.where(self._present[0], ids, ops.full_like(ids, EMPTY))  # nobody's positive
        self._ids = ids
        # The places of the anchors in the batch.
        self.rows = (
            ops.arange(ops.shape(views[0])[0], dtype="int32") if shared is None else shared.rows
        )
        self._all_ids = self.of_all(ids)
        self._all_rows = self.of_all(self.rows)
        self._all_present = [self.of_all(rows) for rows in self._present]
        self._scale = scale
        self._own_scale = (
            len(getattr(scale, "shape", ())) > 0
        )  # of a direction, which then shares no logits
        if self._own_scale and scale.shape[-1] != len(self.directions):
            raise ValueError(
                f"There are {len(self.directions)} directions and {scale.shape[-1]} temperatures. "
                "Was the loss built for another number of views?"
            )
        self._diagonals = {}  # logits of the pairs of rows by direction, a gift of the first sweep
        self._gathered = {}  # views of all replicas, by their index

    # Anchors and candidates

    def of_all(self, x):
        """What is known of the rows of this replica, of those of all replicas."""
        return x if x is None or self.shared is None else self.shared.gather(x)

    def own(self, x):
        """Of what is known of the rows of all replicas, that of this one."""
        return x if x is None or self.shared is None else self.shared.own(x)

    def _candidates(self, view):
        """The rows of a view that anchors are compared with."""
        if view not in self._gathered:
            self._gathered[view] = self.of_all(self.views[view])
        return self._gathered[view]

    # What is counted

    @_computed_once
    def num_negatives(self):
        """How many negatives each anchor has, as float."""
        return self._count(
            lambda view: self._num_rows(view) - self._num_same(view),
            lambda extra: ops.sum(ops.cast(_exists(extra), "int32")) - self._num_same_in(extra),
        )

    @_computed_once
    def _num_positives(self):
        """Of a single view."""
        return self._count(lambda view: self._num_same(view) - 1, self._num_same_in)

    @_computed_once
    def valid(self):
        """Whether an anchor has both a positive and a negative."""
        valid = self.num_negatives > 0
        if self._single:
            valid = ops.logical_and(valid, self._num_positives > 0)
        return valid if self.complete is None else ops.logical_and(valid, self.complete)

    @_computed_once
    def complete(self):
        """Whether an anchor and its own row in the other view are both present; `None` if all are."""
        if all(present is None for present in self._present):
            return None
        everyone = ops.ones_like(self.rows) > 0
        present = [everyone if rows is None else rows for rows in self._present]
        return ops.stack(
            [ops.logical_and(present[a], present[b]) for a, b in self.directions], axis=1
        )

    @property
    def log_num_negatives(self):
        """Log of the number of negatives; 0 where there are none."""
        return ops.log(ops.maximum(self.num_negatives, 1))

    def or_zero(self, losses):
        """The losses `(batch, directions)` of the valid anchors, and zero, without a gradient, for the others."""
        return ops.where(self.valid, losses, ops.zeros_like(losses))

    def _count(self, own, among):
        columns = []
        for _, target in self.directions:
            seen = self._seen(target)
            counts = [own(view) for view in seen] + [
                among(extra) for view in seen for extra in self._extra[view]
            ]
            columns.append(sum(counts))
        return ops.cast(ops.stack(columns, axis=1), self.views[0].dtype)

    def _num_rows(self, view):
        present = self._all_present[view]
        return (
            ops.shape(self._all_rows)[0] if present is None else ops.sum(ops.cast(present, "int32"))
        )

    def _num_same(self, view):
        """How many rows of a view have the id of each row, itself included."""
        if self._ids is None:
            present = self._present[view]
            return ops.ones_like(self.rows) if present is None else ops.cast(present, "int32")
        present = self._all_present[view]
        return self._num_same_ids if present is None else self._count_same_ids(present)

    @_computed_once
    def _num_same_ids(self):
        return count_equal(self._ids, self._all_ids)

    def _count_same_ids(self, present):
        return count_equal(
            self._ids, ops.where(present, self._all_ids, ops.full_like(self._all_ids, EMPTY))
        )

    def _num_same_in(self, extra):
        if self._ids is None or extra.ids is None:
            return ops.zeros_like(self.rows)
        return count_equal(self._ids, extra.ids)

    def _seen(self, target):
        return range(len(self.views)) if self._all_views else [target]

    @property
    def needs_no_mask(self):
        """Whether the candidates of an anchor are just its positive and its negatives."""
        of_two = not self._single and (len(self.views) == 2 or not self._all_views)
        return of_two and self._ids is None and self.complete is None

    # Sums

    @_computed_once
    def negatives(self):
        """Log of the sum of exp(logit) over the negatives; very low, but finite, where there are none."""
        return self._sum(LogSumExp)

    @_computed_once
    def candidates(self):
        """Log of the sum of exp(logit) over all candidates, positives included, but the anchor itself."""
        return self._sum(LogSumExp, but_the_anchor_only=True)

    @_computed_once
    def positive(self):
        """Logit of the positive."""
        if self._single:
            return self._mean_of_positives()
        missing = [
            d for d, direction in enumerate(self.directions) if direction not in self._diagonals
        ]
        if missing and self.shared is None:
            self.negatives  # noqa: B018 - whose sweep brings them
        elif missing:  # of this replica alone, rows and columns of the logits do not pair
            for d in missing:
                a, scale = self._anchors(d)
                target = self.directions[d][1]
                self._diagonals[self.directions[d]] = (
                    ops.sum(a * self.views[target], axis=1) * scale
                )
        return ops.stack([self._diagonals[direction] for direction in self.directions], axis=1)

    def softplus(self, threshold):
        """log(1 + exp(threshold - logit of the positive)), `threshold` of shape `(batch, directions)`."""
        if not self._single:
            return ops.softplus(threshold - self.positive)
        return self._sum(PositiveSoftplus, threshold) / ops.maximum(self._num_positives, 1)

    def log_complement_sum(self, reference):
        """Sum over the negatives of log(1 - exp(logit - reference)).

        The share exp(logit - reference) must be at most 1. Beyond 0.99 the logarithm is continued by
        its tangent, so that a single dominating negative gives a large gradient, not an infinite one.
        """
        return self._sum(LogComplements, reference)

    def sigmoid_cross_entropy(self, bias):
        """Sum of log(1 + exp(logit + bias)) over the negatives and log(1 + exp(-logit - bias)) over the positives.

        All candidates with the anchor's id are positives, in pairs of views as well.
        """
        reference = ops.zeros_like(ops.cast(self.rows, self.views[0].dtype)) - bias
        return self._sum(SigmoidCrossEntropy, ops.stack([reference] * len(self.directions), axis=1))

    def expected_logit(self):
        """Mean logit of the negatives, each weighted by its share exp(logit) of the partition; without a gradient.

        It is the derivative of the log-partition `negatives` for the logarithm of the scale.
        """
        partition = ops.stop_gradient(self.negatives)
        some = self.num_negatives > 0
        reference = ops.where(some, partition, ops.zeros_like(partition))
        return ops.stop_gradient(
            ops.where(some, reference + self._sum(NegativeEntropy, reference), 0.0)
        )

    def _sum(self, kind, references=None, but_the_anchor_only=False):
        done: dict = {}  # sums over one view, by (direction, view), or by (anchors, view) without references
        columns = []
        for d, (anchors, target) in enumerate(self.directions):
            reference = None if references is None else references[:, d]
            parts = []
            for view in self._seen(target):
                key = (anchors if references is None and not self._own_scale else d, view)
                if key not in done:
                    self._sum_over_view(kind, d, view, references, but_the_anchor_only, done, key)
                parts.append(done[key])
                for place, extra in enumerate(self._extra[view]):
                    if (*key, place) not in done:
                        relation = self._relation_to(extra, but_the_anchor_only)
                        a, scale = self._anchors(d)
                        done[(*key, place)] = logit_sums(
                            kind, a, extra.embeddings, scale, relation, reference
                        )[0]
                    parts.append(done[(*key, place)])
            columns.append(parts[0] if len(parts) == 1 else kind.over(ops.stack(parts)))
        return ops.stack(columns, axis=1)

    def _sum_over_view(self, kind, d, view, references, but_the_anchor_only, done, key):
        """Also of the opposite direction, where there is one: its sums are those of the columns."""
        anchors, target = self.directions[d]
        a, scale = self._anchors(d)
        b = (
            None
            if anchors == view and not self._own_scale and self.shared is None
            else self._candidates(view)
        )
        but_itself = anchors == view and (kind.counts_same or but_the_anchor_only)
        relation = self._relation(anchors, view, but_itself, but_the_anchor_only)
        # The direction whose anchors are the candidates here, and whose candidates are the anchors here.
        opposite = (view, anchors if target == view else target)
        two_sided = anchors != view and opposite in self.directions and not self._own_scale
        # With scales of their own, only the direction from these anchors to this view knows the logits of its pairs.
        known = (anchors, view) in self._diagonals or (self._own_scale and view != target)
        paired = anchors != view and not known and self.shared is None
        reference = opposite_reference = None
        if references is not None:
            reference = references[:, d]
            if two_sided and kind is not SigmoidCrossEntropy:  # whose references are one bias
                opposite_reference = self.of_all(references[:, self.directions.index(opposite)])
        rows, columns, pairs = logit_sums(
            kind, a, b, scale, relation, reference, opposite_reference, two_sided, paired
        )
        done[key] = rows
        if two_sided:
            if (
                self.shared is not None
            ):  # each replica has summed the logits of its rows, in the columns of all
                by_replica = self.shared.stack(columns)
                columns = kind.over(ops.transpose(self.own(ops.transpose(by_replica))))
            done[(view if references is None else self.directions.index(opposite), anchors)] = (
                columns
            )
        if paired:
            self._diagonals[(anchors, view)] = pairs
            if not self._own_scale:
                self._diagonals[(view, anchors)] = pairs

    def _anchors(self, direction):
        """The anchors of a direction, and their scale; one of each row is multiplied in at once."""
        a = self.views[self.directions[direction][0]]
        if not self._own_scale:
            return a, self._scale
        scale = self._scale[..., direction]
        return (a * ops.expand_dims(scale, 1), 1.0) if len(scale.shape) == 1 else (a, scale)

    def _relation(self, anchors, view, but_itself, but_the_anchor_only):
        places = (self.rows, self._all_rows) if but_itself else None
        present = self._present[anchors], self._all_present[view]
        if but_the_anchor_only:
            return Relation(places=places, present=present)
        ids = (self.rows, self._all_rows) if self._ids is None else (self._ids, self._all_ids)
        return Relation(ids=ids, places=places, present=present)

    def _relation_to(self, extra, but_the_anchor_only):
        if extra.ids is None:
            return Relation()
        nowhere = ops.zeros_like(self.rows)
        places = (
            nowhere,
            ops.cast(_exists(extra), "int32"),
        )  # equal, and so left out, where there is none
        if but_the_anchor_only:
            return Relation(places=places)
        ids = ops.full_like(self.rows, UNKNOWN) if self._ids is None else self._ids
        return Relation(ids=(ids, extra.ids), places=places)

    def _mean_of_positives(self):
        """Of a single view: the logits with the sum of all candidates with the anchor's id, less its own."""
        (view,) = self.views
        if self._ids is None:  # nobody has a positive
            return ops.zeros_like(view[:, :1])
        extra = [candidates for candidates in self._extra[0] if candidates.ids is not None]
        others = [] if self.shared is None else self.shared.others(self._candidates(0))
        more = [*others, *(candidates.embeddings for candidates in extra)]
        ids_of_others = [] if self.shared is None else self.shared.others(self._all_ids)
        everyones_ids = ops.concatenate(
            [self._ids, *ids_of_others, *(candidates.ids for candidates in extra)]
        )
        total = products_with_others_of_the_group(view, more, everyones_ids)
        scale = self._scale[..., 0] if self._own_scale else self._scale
        return ops.expand_dims(total * scale, 1) / ops.maximum(self._num_positives, 1)


def _exists(extra):
    return ops.ones_like(extra.embeddings[:, 0]) > 0 if extra.ids is None else extra.ids != EMPTY
