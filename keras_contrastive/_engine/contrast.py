"""Row sums over the logits between views."""

from collections.abc import Mapping, Sequence

from keras import ops

from keras_contrastive._engine.batch import Batch
from keras_contrastive._engine.cached import LocklessCachedProperty
from keras_contrastive._engine.candidates import Candidates
from keras_contrastive._engine.circle_terms import circle_terms
from keras_contrastive._engine.direction_sums import DirectionSums
from keras_contrastive._engine.ignored import Margin
from keras_contrastive._engine.logit_terms import (
    LogComplements,
    LogSumExp,
    NegativeCount,
    NegativeEntropy,
    PositiveLogSumExp,
    PositiveSoftplus,
    SigmoidCrossEntropy,
    positive_polynomial,
)
from keras_contrastive._engine.numerics import LOWEST
from keras_contrastive._engine.pair_counts import PairCounts
from keras_contrastive._engine.positives import (
    log_weights_of_matching_rows,
    mean_positive_logit,
    without_missing_ids,
)
from keras_contrastive._engine.triplet_mining import Mining
from keras_contrastive._engine.triplet_sums import TripletRule, sides_of_direction, triplet_sums
from keras_contrastive._typing import Tensor


class Contrast:
    """Computes sums over each anchor's candidates without storing the logits.

    A *direction* compares the anchors of one view with the candidates of another. Each pair of
    views has two directions. All results have the shape `(batch, directions)`. Each sum is one pass
    over the tiles of the logits, and so is its gradient.

    The positive of an anchor is its own row in the other view. Its negatives are the rows with
    other ids. With a single view, positives are the other candidates with the anchor's id, and a
    quantity of "the positive" is the mean over them.

    The logit of a candidate is the scaled inner product plus the candidate's log-weight, if there
    is one.

    Args:
        batch: A `Batch`. Its views are compared by their inner product.
        directions: Pairs of names, the view of the anchors and that of the candidates. Empty for a
            single view.
        scale: 1 / temperature: a scalar, one per direction `(directions,)`, or one per anchor
            `(batch, directions)`. Only with a scalar do the two directions of a pair share logits.
        all_views: Whether candidates are the rows of all views except the anchor itself, or of the
            other view only.
        extra: `None`, or `Candidates` by view that join the rows of that view as candidates.
        ignore_above: `None`, or which negatives count as if they were not there, see
            `ContrastiveLoss`. It needs several views.

    Raises:
        ValueError: If `scale` has another number of directions.
    """

    def __init__(
        self,
        batch: Batch,
        directions: Sequence[tuple[str, str]],
        scale: Tensor,
        all_views: bool = False,
        extra: Mapping[str, Sequence[Candidates]] | None = None,
        ignore_above: Margin | None = None,
    ) -> None:
        self.batch = batch
        self._single = not directions
        if self._single:
            (view,) = batch.names
            directions = [(view, view)]
            batch = without_missing_ids(batch, view)
        self._masked_batch = batch
        self.directions = list(directions)
        self._extra = {view: list((extra or {}).get(view, ())) for view in batch.names}
        self._scale = scale
        self._scale_per_direction = len(getattr(scale, "shape", ())) > 0
        if self._scale_per_direction and scale.shape[-1] != len(self.directions):
            raise ValueError(
                f"The loss has temperatures for {scale.shape[-1]} directions. "
                f"Received: {len(self.directions)} directions. Build a loss per number of views."
            )
        self._all_views = all_views
        self._ignores = ignore_above is not None
        self._sums = DirectionSums(
            batch, self.directions, scale, all_views, self._extra, ignore_above
        )
        self._counts = PairCounts(
            batch, self.directions, self._sums.candidate_views, self._extra, self._single
        )

    # Counts

    @property
    def num_negatives(self) -> Tensor:
        """Number of negatives of each anchor, as float."""
        if self._ignores:
            return ops.stop_gradient(self._sums.sum(NegativeCount))
        return self._counts.num_negatives

    @property
    def num_positives(self) -> Tensor:
        """Number of positives of each anchor, as float."""
        if self._single:
            return self._counts.num_positives
        ones = ops.ones_like(self._counts.num_negatives)
        return ones if self.complete is None else ops.cast(self.complete, ones.dtype)

    @property
    def log_num_negatives(self) -> Tensor:
        """Log of the number of negatives. It is 0 for an anchor without negatives."""
        return ops.log(ops.maximum(self.num_negatives, 1))

    @property
    def valid(self) -> Tensor:
        """Whether each anchor has a positive and a negative, as bool."""
        if self._ignores:
            return ops.logical_and(self._counts.valid, self.log_sum_negatives > LOWEST / 2)
        return self._counts.valid

    @property
    def complete(self) -> Tensor | None:
        """Whether each anchor and its row in the other view are present, or `None` if all are."""
        return self._counts.complete

    @property
    def has_single_positives(self) -> bool:
        """Whether each anchor has one positive, its own row in another view."""
        return not self._single

    @property
    def is_plain_pairs(self) -> bool:
        """Whether the candidates of each anchor are exactly its positive and its negatives."""
        other_view_only = len(self.batch.views) == 2 or not self._all_views
        return (
            not self._single
            and not self._ignores
            and other_view_only
            and self.batch.ids is None
            and not self.batch.present
        )

    def zero_where_invalid(self, losses: Tensor) -> Tensor:
        """Returns the losses of valid anchors. Others are 0, without a gradient."""
        if self._counts.known_valid and not self._ignores:
            return losses
        return ops.where(self.valid, losses, ops.zeros_like(losses))

    # Sums

    @property
    def log_sum_negatives(self) -> Tensor:
        """Log of the sum of exp(logit) over the negatives. It is very low without negatives."""
        return self._sums.sum(LogSumExp)

    @property
    def log_partition(self) -> Tensor:
        """Log of the sum of exp(logit) over all candidates except the anchor itself."""
        if self._ignores:  # only negatives are ignored
            parts = [self._sums.sum(terms) for terms in (LogSumExp, PositiveLogSumExp)]
            return ops.logsumexp(ops.stack(parts), axis=0)
        return self._sums.sum(LogSumExp, mask_same_ids=False)

    def log_sum_positives(self, scale: float) -> Tensor:
        """Log of the sum of exp(scale * product) over the positives. It is very low without any.

        Args:
            scale: Float other than 0, in place of the scale of the logits. It may be negative.
        """
        if not self._single:
            return self.positive_logit * (scale / self._scale)
        sums = DirectionSums(self._masked_batch, self.directions, scale, False, self._extra)
        return sums.sum(PositiveLogSumExp)

    def circle_sums(self, gamma: float, margin: float) -> tuple[Tensor, Tensor]:
        """Logs of the sums over positives and over negatives, see `circle_terms`.

        The scale of this `Contrast` must be 1.
        """
        positives, negatives = circle_terms(gamma, margin)
        log_sum = self._sums.sum(negatives)
        if not self._single:
            return positives.curve(self.positive_logit), log_sum
        return self._sums.sum(positives), log_sum

    @LocklessCachedProperty
    def positive_logit(self) -> Tensor:
        """Logit of the positive."""
        if self._single:
            scale = self._scale[..., 0] if self._scale_per_direction else self._scale
            (view,) = self.batch.names
            return mean_positive_logit(
                self._masked_batch, self._extra[view], scale, self._counts.num_positives
            )
        logits = self._sums.matching_logits()
        weights = log_weights_of_matching_rows(self.batch, self.directions, logits.dtype)
        return logits if weights is None else logits + weights

    def mean_softplus(self, threshold: Tensor) -> Tensor:
        """Mean over the positives of log(1 + exp(threshold - logit)).

        Args:
            threshold: `(batch, directions)`.
        """
        if not self._single:
            return ops.softplus(threshold - self.positive_logit)
        total = self._sums.sum(PositiveSoftplus, threshold)
        return total / ops.maximum(self._counts.num_positives, 1)

    def mean_share_polynomial(self, threshold: Tensor, coefficients: Sequence[float]) -> Tensor:
        """Mean over the positives of a polynomial of the share 1 / (1 + exp(logit - threshold)).

        Args:
            threshold: `(batch, directions)`.
            coefficients: The coefficients of the powers from 1 on. There is no constant.
        """
        terms = positive_polynomial(tuple(map(float, coefficients)))
        if not self._single:
            return terms.value(self.positive_logit - threshold)
        return self._sums.sum(terms, threshold) / ops.maximum(self._counts.num_positives, 1)

    def log_sum_negatives_up_to(self, limit: Tensor) -> Tensor:
        """Log of the sum of exp(logit) over the negatives with a logit of at most `limit`.

        With the largest logit just above the limit, it is the sum without the largest term, free of
        the rounding of a difference. It is very low without such negatives.

        Args:
            limit: `(batch, directions)`, without a gradient.
        """
        return self._sums.sum(LogSumExp, limits=limit)

    def log_complement_sum(self, reference: Tensor, limit: Tensor | None = None) -> Tensor:
        """Sum over the negatives of log(1 - exp(logit - reference)).

        The share exp(logit - reference) must be at most 1. Above 0.99 the logarithm continues as
        its tangent, so that a single dominating negative has a large but finite gradient.

        Args:
            reference: `(batch, directions)`.
            limit: `None`, or `(batch, directions)`, without a gradient. Negatives with a logit
                above it are left out.
        """
        return self._sums.sum(LogComplements, reference, limits=limit)

    def sigmoid_cross_entropy(self, bias: Tensor) -> Tensor:
        """Sum of log(1 + exp(logit + bias)) over negatives and log(1 + exp(-logit - bias)) over
        positives.

        All candidates with the anchor's id are positives, also with several views.
        """
        dtype = self.batch.views[self.directions[0][0]].dtype
        reference = ops.zeros_like(ops.cast(self.batch.rows, dtype)) - bias
        return self._sums.sum(
            SigmoidCrossEntropy, ops.stack([reference] * len(self.directions), axis=1)
        )

    def expected_logit(self) -> Tensor:
        """Mean logit of the negatives, weighted by their shares of the partition, without a
        gradient.

        It is the derivative of `log_sum_negatives` with respect to the logarithm of the scale.
        """
        log_sum = ops.stop_gradient(self.log_sum_negatives)
        has_negatives = self.num_negatives > 0
        reference = ops.where(has_negatives, log_sum, ops.zeros_like(log_sum))
        mean = reference + self._sums.sum(NegativeEntropy, reference)
        return ops.stop_gradient(ops.where(has_negatives, mean, 0.0))

    def triplets(self, margin: float, mining: Mining, squared: bool) -> tuple[Tensor, Tensor]:
        """Sum over triplets of `distance to positive - distance to negative + margin`, where that
        is positive, and the number of these triplets.

        The candidates of a direction are the rows of its second view. Distances are Euclidean, and
        `Contrast` scales no distance.

        Args:
            margin: Positive float.
            mining: `"hard"`, `"semi_hard"` or `"all"`, see `kc.losses.Triplet`.
            squared: Whether distances are squared.
        """
        rule = TripletRule(margin, mining, squared, self._single)
        sums, counts = zip(
            *(
                triplet_sums(rule, *sides_of_direction(self.batch, pair, self._extra[pair[1]]))
                for pair in self.directions
            ),
            strict=True,
        )
        return ops.stack(sums, axis=1), ops.stack(counts, axis=1)
