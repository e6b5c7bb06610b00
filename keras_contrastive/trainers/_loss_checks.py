"""Checks that a loss fits the other parts of a trainer."""

from collections.abc import Mapping
from typing import Any

from keras_contrastive import _checks
from keras_contrastive.layers import MomentumTeacher
from keras_contrastive.losses import ContrastiveLoss, InfoNCE


def check_loss_fits(trainer: Any, loss: ContrastiveLoss) -> None:
    """Raises a `ValueError` if a loss cannot use a teacher, log-weights or guides of a trainer."""
    _check_soft_targets(loss, trainer.teacher, trainer.log_weights)
    _check_guides(loss, trainer.guides, trainer.hard_negatives)
    if trainer.log_weights:
        _checks.takes_log_weights(loss)
    if trainer.predictors is not None:
        _check_predictors(trainer, loss)


def _check_predictors(trainer: Any, loss: ContrastiveLoss) -> None:
    """Raises a `ValueError` if a loss or other arguments do not fit the predictors of a trainer."""
    if trainer.log_weights or trainer.guides is not None:
        raise ValueError(
            "`predictors` must be `None` if there are `log_weights` or `guides`, which belong to "
            f"views and not to predictions. Received: predictors={trainer.predictors!r}."
        )
    if loss.all_views:
        raise ValueError(
            "`loss` must compare an anchor with one other view if there are `predictors`, since a "
            f"prediction is no candidate. Received: loss={loss!r}. Pass `InfoNCE`, "
            "`NegativeCosine`, or a loss with `all_views=False`."
        )
    if not trainer.direction_weights(loss):
        raise ValueError(
            "`predictors` must be `None` if there is one view. Received: one modality without an "
            f"augmenter, predictors={trainer.predictors!r}."
        )


def _check_guides(loss: Any, guides: Any, hard_negatives: Mapping[str, str]) -> None:
    """Raises a `ValueError` unless the loss of a trainer with guides can use them."""
    if guides is None:
        return
    if loss.ignore_above is None:
        raise ValueError(
            "`loss` must have `ignore_above` if the trainer has `guides`, which choose the "
            f"negatives to ignore. Received: loss={loss!r}. "
            'Pass `ignore_above=("relative", 0.05)` to it.'
        )
    unguided = set(hard_negatives.values()) - set(guides if isinstance(guides, dict) else ())
    if unguided:
        raise ValueError(
            "`guides` must have a layer for each modality with hard negatives. Received: "
            f"hard_negatives={hard_negatives!r}. Add a guide for {', '.join(sorted(unguided))}."
        )
    if loss.memory is not None:
        raise ValueError(
            "`memory` must be `None` if there are `guides`, which the stored rows do not have. "
            f"Received: memory={loss.memory!r}. Leave out one of them."
        )


def _check_soft_targets(
    loss: Any, teacher: MomentumTeacher | None, log_weights: Mapping[str, str]
) -> None:
    """Raises if the teacher has soft targets and the loss is not a plain `InfoNCE`."""
    if teacher is None or not teacher.soft_targets:
        return
    if not isinstance(loss, InfoNCE) or loss.all_views:
        raise ValueError(
            "`loss` must be `InfoNCE` if the teacher has soft targets, which are the targets of a "
            f"cross-entropy. Received: loss={loss!r}. Pass `MomentumTeacher(soft_targets=0.0)`."
        )
    of_queue = [getattr(loss.memory, name, None) for name in ("batch_share", "log_weights")]
    if log_weights or any(of_queue) or loss.ignore_above is not None:
        raise ValueError(
            "Candidates must have no log-weights, and none may be ignored, if the teacher has soft "
            f"targets for all of them. Received: log_weights={dict(log_weights)!r}, loss={loss!r}. "
            "Pass `MomentumTeacher(soft_targets=0.0)`."
        )
