"""Candidates of a loss that are not rows of the batch, and checks of all candidates."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch, Candidates, view_name
from keras_contrastive._typing import Tensor
from keras_contrastive.losses._hard_negatives import as_hard_negatives, hard_negatives_by_view


def extra_candidates(
    loss: Any, hard_negatives: Mapping[Any, Any] | None, batch: Batch
) -> dict[str, list[Candidates]]:
    """Returns hard negatives and the queue as candidates of each view.

    Args:
        loss: A `ContrastiveLoss`.
        hard_negatives: See `ContrastiveLoss`.
        batch: The batch as the loss compares it.
    """
    extra: dict[str, list[Candidates]] = {name: [] for name in batch.names}
    for key, given in hard_negatives_by_view(hard_negatives).items():
        name = view_name("hard_negatives", key, batch.names)
        hard = as_hard_negatives(key, given, batch)
        if hard.embeddings.shape[0] != 0:
            prepared = loss.prepared(Batch({name: hard.embeddings})).views[name]
            extra[name].append(dataclasses.replace(hard, embeddings=prepared))
    if loss.memory is not None:
        stored = loss.memory.candidates(list(batch.views.values()))
        for name, candidates in zip(batch.names, stored, strict=True):
            embeddings = ops.cast(candidates.embeddings, loss.dtype)
            log_weights = _with_share(loss.memory, candidates, batch, name)
            extra[name].append(Candidates(embeddings, candidates.ids, log_weights=log_weights))
    return extra


def check_candidates(loss: Any, batch: Batch, extra: Mapping[str, list[Candidates]]) -> None:
    """Raises a `ValueError` if candidates have log-weights or guides that the loss cannot use."""
    candidates = [part for parts in extra.values() for part in parts]
    _check_log_weights(loss, batch, candidates)
    _check_ignored(loss, batch, candidates)


def check_memory_fits(loss: Any) -> None:
    """Raises a `ValueError` if the queue of a loss has log-weights that the loss cannot use."""
    for name in ("batch_share", "log_weights"):
        if getattr(loss.memory, name, None):
            _checks.takes_log_weights(loss, name)


def _check_log_weights(loss: Any, batch: Batch, candidates: list[Candidates]) -> None:
    if batch.log_weights or any(part.log_weights is not None for part in candidates):
        _checks.takes_log_weights(loss)
    if batch.log_weights and _stores_no_log_weights(loss.memory):
        raise ValueError(
            "`memory` must store log-weights if the rows of a batch have some. Received: "
            f"memory={loss.memory!r}. Pass `EmbeddingQueue(..., log_weights=True)`."
        )


def _check_ignored(loss: Any, batch: Batch, candidates: list[Candidates]) -> None:
    if loss.ignore_above is not None and len(batch.views) == 1:
        raise ValueError(
            "`y_pred` must have several views if a loss has `ignore_above`, which needs one "
            f"positive for each anchor. Received: one view, loss={loss!r}. Use `SupCon` for labels."
        )
    has_guides = batch.guides or any(part.guide is not None for part in candidates)
    if loss.ignore_above is None and has_guides:
        raise ValueError(
            "`guides` must be `None` if a loss has no `ignore_above`, which they are for. "
            f'Received: loss={loss!r}. Pass `ignore_above=("relative", 0.05)` to the loss.'
        )
    if batch.guides and loss.memory is not None:
        raise ValueError(
            "`memory` must be `None` if there are `guides`, which the stored rows do not have. "
            f"Received: memory={loss.memory!r}. Leave out one of them."
        )
    size = next((guide.shape[1] for guide in batch.guides.values()), None)
    for part in candidates:
        shape = () if part.guide is None else tuple(part.guide.shape)
        expected = () if size is None else (part.embeddings.shape[0], size)
        if len(shape) != len(expected) or _checks.differ(shape, expected):
            raise ValueError(
                "Hard negatives must have guides if and only if the rows have some, of the same "
                f"size. Received: guides of shape {shape}, expected {expected}. Pass "
                "`keras_contrastive.extend.Candidates(embeddings, guide=...)`."
            )


def push_rows(memory: Any, batch: Batch) -> None:
    """Adds the rows of the global batch to a queue."""
    batch = batch.global_batch
    masks = [batch.present.get(name) for name in batch.names]
    rows = [list(batch.views.values()), batch.ids, masks]
    if batch.log_weights:
        rows.append([batch.log_weights.get(name) for name in batch.names])
    memory.push(*rows)


def _stores_no_log_weights(memory: Any) -> bool:
    return memory is not None and not getattr(memory, "log_weights", False)


def _with_share(memory: Any, stored: Candidates, batch: Batch, name: str) -> Tensor | None:
    """Returns the log-weights of stored rows, with those of `EmbeddingQueue.batch_share`."""
    if getattr(memory, "batch_share", None) is None:
        return stored.log_weights
    present = batch.present.get(name)
    rows = ops.ones_like(batch.rows) if present is None else ops.cast(present, "int32")
    share = memory.log_weight_of_share(ops.sum(batch.gather(rows)) - 1)
    others = ops.zeros_like(stored.embeddings[:, 0])
    return share + (others if stored.log_weights is None else stored.log_weights)
