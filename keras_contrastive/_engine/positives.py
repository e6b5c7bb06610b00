"""Logits of the positives of each anchor."""

import dataclasses
from collections.abc import Sequence

from keras import ops

from keras_contrastive._engine.batch import Batch
from keras_contrastive._engine.candidates import MISSING_ID, Candidates
from keras_contrastive._engine.groups import (
    groups_by_id,
    products_with_others_of_the_group,
    sum_over_group,
)
from keras_contrastive._typing import Tensor


def log_weights_of_matching_rows(
    batch: Batch, directions: Sequence[tuple[str, str]], dtype: str
) -> Tensor | None:
    """Returns the log-weight of each anchor's row in the other view, `(batch, directions)`.

    Returns `None` if no view of candidates has log-weights.
    """
    if not any(candidates in batch.log_weights for _, candidates in directions):
        return None
    zeros = ops.zeros_like(ops.cast(batch.rows, dtype))
    columns = [batch.log_weights.get(candidates, zeros) for _, candidates in directions]
    return ops.stack([ops.cast(column, dtype) for column in columns], axis=1)


def mean_positive_logit(
    batch: Batch, extra: Sequence[Candidates], scale: Tensor, num_positives: Tensor
) -> Tensor:
    """Returns the mean logit of the positives in a single view, `(batch, 1)`.

    Args:
        batch: A batch of one view, without ids of missing rows.
        extra: Further candidates.
        scale: 1 / temperature, a scalar or `(batch,)`.
        num_positives: Number of positives of each anchor, `(batch, 1)`.
    """
    (name,) = batch.names
    view = batch.views[name]
    if batch.ids is None:  # no row has a positive
        return ops.zeros_like(view[:, :1])
    extra = [part for part in extra if part.ids is not None and not part.only_negatives]
    other_rows: list[Tensor] = []
    other_ids: list[Tensor] = []
    if batch.replicas is not None:
        other_rows = batch.replicas.others(batch.gather(view))
        other_ids = batch.replicas.others(batch.gather(batch.ids))
    more = [*other_rows, *(part.embeddings for part in extra)]
    ids = ops.concatenate([batch.ids, *other_ids, *(part.ids for part in extra)])
    total = products_with_others_of_the_group(view, more, ids) * scale
    log_weights = _total_log_weight(batch, extra, ids)
    total = total if log_weights is None else total + log_weights
    return ops.expand_dims(total, 1) / ops.maximum(num_positives, 1)


def _total_log_weight(batch: Batch, extra: Sequence[Candidates], ids: Tensor) -> Tensor | None:
    """Returns the sum of the log-weights of the positives of each anchor, or `None` for 0."""
    (name,) = batch.names
    dtype = batch.views[name].dtype
    local = batch.log_weights.get(name)
    if local is None and all(part.log_weights is None for part in extra):
        return None
    local = ops.zeros_like(ops.cast(batch.rows, dtype)) if local is None else ops.cast(local, dtype)
    others = [] if batch.replicas is None else batch.replicas.others(batch.gather(local))
    more = [
        ops.zeros_like(part.embeddings[:, 0])
        if part.log_weights is None
        else ops.cast(part.log_weights, dtype)
        for part in extra
    ]
    totals = sum_over_group(ops.concatenate([local, *others, *more]), groups_by_id(ids))
    return totals[: ops.shape(local)[0]] - local


def without_missing_ids(batch: Batch, view: str) -> Batch:
    """Returns a batch of one view in which missing rows are positives of no anchor."""
    present = batch.present.get(view)
    if batch.ids is None or present is None:
        return batch
    ids = ops.where(present, batch.ids, ops.full_like(batch.ids, MISSING_ID))
    return dataclasses.replace(batch, ids=ids)
