"""Sums over the logits of several directions, which share passes where they share logits."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_contrastive._engine.batch import Batch
from keras_contrastive._engine.cached import LocklessCachedProperty
from keras_contrastive._engine.candidates import Candidates
from keras_contrastive._engine.extra_masks import masks_of_extra
from keras_contrastive._engine.ignored import Margin, thresholds_of, thresholds_of_guides
from keras_contrastive._engine.logit_sums import logit_sums, stored_logits
from keras_contrastive._engine.logit_terms import LogitTerms, LogSumExp
from keras_contrastive._engine.pair_masks import PairMasks
from keras_contrastive._typing import Tensor


class DirectionSums:
    """Computes row sums over the logits of each direction.

    The two directions of a pair of views have the same logits, once by rows and once by columns, so
    one pass serves both. See `Contrast` for the arguments.
    """

    def __init__(
        self,
        batch: Batch,
        directions: Sequence[tuple[str, str]],
        scale: Tensor,
        all_views: bool,
        extra: Mapping[str, Sequence[Candidates]],
        ignore_above: Margin | None = None,
    ) -> None:
        self._batch = batch
        self._directions = list(directions)
        self._scale = scale
        self._scale_per_direction = len(getattr(scale, "shape", ())) > 0
        self._all_views = all_views
        self._extra = extra
        self._ignore_above: Any = ignore_above
        # Logits of matching rows by direction. A pass over the logits yields them as well.
        self._matching_logits: dict[tuple[str, str], Tensor] = {}
        self._results: dict[tuple[type[LogitTerms], bool], Tensor] = {}
        # Logits that fit one tile, by (view or index of the direction, view of the candidates).
        self._logits: dict[tuple[str | int, str], Tensor | None] = {}

    def candidate_views(self, direction: tuple[str, str]) -> Sequence[str]:
        """Returns the views whose rows are candidates of a direction."""
        return self._batch.names if self._all_views else [direction[1]]

    def sum(
        self,
        terms: type[LogitTerms],
        references: Tensor | None = None,
        mask_same_ids: bool = True,
        limits: Tensor | None = None,
    ) -> Tensor:
        """Sums terms over the candidates of each anchor.

        Args:
            terms: The terms, a subclass of `LogitTerms`.
            references: `None`, or `(batch, directions)`, subtracted from the logits.
            mask_same_ids: Whether candidates with the anchor's id are treated as the terms say. If
                False, all candidates except the anchor itself count.
            limits: `None`, or `(batch, directions)`. Candidates with a logit above it are left out.

        Returns:
            `(batch, directions)`.
        """
        if limits is not None:
            limits = ops.stop_gradient(limits)
        if references is not None or limits is not None:
            return self._sum(terms, references, mask_same_ids, limits)
        key = (terms, mask_same_ids)
        if key not in self._results:
            self._results[key] = self._sum(terms, None, mask_same_ids, None)
        return self._results[key]

    def matching_logits(self) -> Tensor:
        """Returns the logit of each anchor with its own row in the other view."""
        missing = [d for d in self._directions if d not in self._matching_logits]
        if missing and self._batch.replicas is None and self._ignore_above is None:
            self.sum(LogSumExp)  # cached: losses use this sum as well
        for direction in self._directions:
            if direction not in self._matching_logits:
                # With replicas, rows and columns of the logits do not match: columns are global.
                # Sums that ignore candidates need these logits first.
                anchors, scale = self.anchors(self._directions.index(direction))
                product = ops.sum(anchors * self._batch.views[direction[1]], axis=1)
                self._matching_logits[direction] = product * scale
        return ops.stack([self._matching_logits[d] for d in self._directions], axis=1)

    def anchors(self, index: int) -> tuple[Tensor, Tensor]:
        """Returns the anchors of a direction, times the scale per anchor, and the scale."""
        rows = self._batch.views[self._directions[index][0]]
        if not self._scale_per_direction:
            return rows, self._scale
        scale = self._scale[..., index]
        if len(scale.shape) == 1:
            return rows * ops.expand_dims(scale, 1), 1.0
        return rows, scale

    def _sum(
        self,
        terms: type[LogitTerms],
        references: Tensor | None,
        mask_same_ids: bool,
        limits: Tensor | None,
    ) -> Tensor:
        # Sums over one view, by (view or index of the direction, view of the candidates).
        sums: dict[tuple[str | int, str], Tensor] = {}
        # Without references and limits, all directions with the same anchors share their sums.
        per_direction = self._is_per_direction(references, limits)
        columns = []
        for index, direction in enumerate(self._directions):
            reference = None if references is None else references[:, index]
            limit = None if limits is None else limits[:, index]
            parts = []
            for view in self.candidate_views(direction):
                key = (index if per_direction else direction[0], view)
                if key not in sums:
                    sums |= self._sums_over_view(
                        terms, index, view, references, mask_same_ids, limits
                    )
                parts.append(sums[key])
                parts += [
                    self._sum_over_extra(terms, index, extra, reference, mask_same_ids, limit)
                    for extra in self._extra[view]
                ]
            columns.append(parts[0] if len(parts) == 1 else terms.over(ops.stack(parts)))
        return ops.stack(columns, axis=1)

    def _sums_over_view(
        self,
        terms: type[LogitTerms],
        index: int,
        view: str,
        references: Tensor | None,
        mask_same_ids: bool,
        limits: Tensor | None,
    ) -> dict[tuple[str | int, str], Tensor]:
        """Returns the sums of a direction over the rows of a view.

        If the opposite direction is compared too, its sums are those of the columns of the same
        logits, and are returned as well.
        """
        direction = self._directions[index]
        anchors, target = direction
        rows, scale = self.anchors(index)
        shares_tensor = (
            anchors == view and not self._scale_per_direction and self._batch.replicas is None
        )
        candidates = None if shares_tensor else self._batch.gather(self._batch.views[view])
        masks = self._masks(anchors, view, terms, mask_same_ids)
        opposite = (view, anchors if target == view else target)
        two_sided = (
            anchors != view and opposite in self._directions and not self._scale_per_direction
        )
        opposite_index = self._directions.index(opposite) if two_sided else None
        shares_terms = terms.has_one_reference and self._ignore_above is None
        reference, opposite_reference = self._of_both_sides(
            references, index, None if shares_terms else opposite_index
        )
        limit, opposite_limit = self._of_both_sides(limits, index, opposite_index)
        if shares_tensor:
            opposite_limit = limit
        masks = dataclasses.replace(masks, limits=(limit, opposite_limit))
        if self._ignore_above is not None and mask_same_ids:
            threshold, opposite_threshold = self._of_both_sides(
                self._thresholds, index, opposite_index
            )
            masks = dataclasses.replace(
                masks,
                guides=self._guides(anchors, self._batch.gather(self._batch.guides.get(view))),
                thresholds=(threshold, threshold if shares_tensor else opposite_threshold),
            )
        paired = self._yields_matching_logits(direction, view)
        stored_key = (index if self._scale_per_direction else anchors, view)
        if stored_key not in self._logits:
            self._logits[stored_key] = stored_logits(rows, candidates, scale)
        row_sums, column_sums, matching = logit_sums(
            terms,
            rows,
            candidates,
            scale,
            masks,
            reference,
            opposite_reference,
            two_sided,
            paired,
            stored=self._logits[stored_key],
        )
        if paired:
            self._matching_logits[(anchors, view)] = matching
            if not self._scale_per_direction:
                self._matching_logits[(view, anchors)] = matching
        per_direction = self._is_per_direction(references, limits)
        sums: dict[tuple[str | int, str], Tensor] = {
            (index if per_direction else anchors, view): row_sums
        }
        if opposite_index is not None:
            key = opposite_index if per_direction else view
            sums[(key, anchors)] = self._sum_over_replicas(terms, column_sums)
        return sums

    def _sum_over_extra(
        self,
        terms: type[LogitTerms],
        index: int,
        extra: Candidates,
        reference: Tensor | None,
        mask_same_ids: bool,
        limit: Tensor | None,
    ) -> Tensor:
        rows, scale = self.anchors(index)
        masks = masks_of_extra(self._batch, extra, mask_same_ids)
        masks = dataclasses.replace(masks, limits=(limit, None))
        if self._ignore_above is not None and mask_same_ids:
            masks = dataclasses.replace(
                masks,
                guides=self._guides(self._directions[index][0], extra.guide),
                thresholds=(self._thresholds[:, index], None),
            )
        return logit_sums(terms, rows, extra.embeddings, scale, masks, reference)[0]

    def _is_per_direction(self, *values: Tensor | None) -> bool:
        """Whether each direction has sums of its own, because it has a scale, or these values."""
        ignores = self._ignore_above is not None
        return self._scale_per_direction or ignores or any(x is not None for x in values)

    def _of_both_sides(
        self, values: Tensor | None, index: int, opposite: int | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Returns the values of a direction, and those of the opposite one for the columns."""
        if values is None:
            return None, None
        columns = None if opposite is None else self._batch.gather(values[:, opposite])
        return values[:, index], columns

    def _sum_over_replicas(self, terms: type[LogitTerms], columns: Tensor) -> Tensor:
        """Sums columns over replicas, each of which has summed the logits of its rows."""
        replicas = self._batch.replicas
        if replicas is None:
            return columns
        by_replica = replicas.stack(columns)
        return terms.over(ops.transpose(replicas.local(ops.transpose(by_replica))))

    def _yields_matching_logits(self, direction: tuple[str, str], view: str) -> bool:
        """Whether the pass over these logits must also yield those of matching rows."""
        anchors, target = direction
        known = (anchors, view) in self._matching_logits
        # With a scale per direction, only the direction toward this view has the right scale.
        wrong_scale = self._scale_per_direction and view != target
        is_local = self._batch.replicas is None and self._ignore_above is None
        return anchors != view and not known and not wrong_scale and is_local

    @LocklessCachedProperty
    def _thresholds(self) -> Tensor:
        """Similarity above which an anchor ignores a candidate, `(batch, directions)`."""
        margin, guides = self._ignore_above, self._batch.guides
        if not guides:
            return thresholds_of(margin, self.matching_logits(), self._scale)
        return thresholds_of_guides(margin, guides, self._directions)

    def _guides(self, anchors: str, candidates: Tensor | None) -> tuple[Tensor, Tensor] | None:
        if candidates is None:
            return None
        return self._batch.guides[anchors], candidates

    def _masks(
        self, anchors: str, view: str, terms: type[LogitTerms], mask_same_ids: bool
    ) -> PairMasks:
        batch = self._batch
        log_weights = self._log_weights(anchors), self._log_weights(view, of_replicas=True)
        drops_itself = anchors == view and (terms.counts_same or not mask_same_ids)
        positions = (batch.rows, batch.gather(batch.rows)) if drops_itself else None
        present = batch.present.get(anchors), batch.gather(batch.present.get(view))
        if not mask_same_ids:
            return PairMasks(positions=positions, present=present, log_weights=log_weights)
        ids = batch.row_ids, batch.gather(batch.row_ids)
        return PairMasks(ids=ids, positions=positions, present=present, log_weights=log_weights)

    def _log_weights(self, view: str, of_replicas: bool = False) -> Tensor | None:
        """Returns the log-weights of the rows of a view, of this or of all replicas."""
        local = self._batch.log_weights.get(view)
        if local is None:
            return None
        values = self._batch.gather(local) if of_replicas else local
        return ops.cast(values, self._batch.views[view].dtype)
