"""Warnings about data that trains, and most likely not as its user expects."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_contrastive import _checks
from keras_contrastive._engine import to_numpy
from keras_contrastive._typing import Structure
from keras_contrastive.losses import (
    BarlowTwins,
    Circle,
    Matryoshka,
    MultiSimilarity,
    NegativeCosine,
    SupCon,
    Triplet,
    VICReg,
)
from keras_contrastive.trainers._epoch_data import is_rows
from keras_contrastive.trainers._hard_negatives import num_per_row

_COMPARED_ROWS = 4096  # enough to find a column that was passed twice


def warn_of_likely_mistakes(
    trainer: Any, x: Structure, ids: np.ndarray | None, batch_size: int | None
) -> None:
    """Warns, on the host, of data that trains, and most likely not what the user wants.

    Args:
        trainer: The model.
        x: Checked inputs. Values of arrays are looked at, data sets are not.
        ids: Checked ids, or `None`.
        batch_size: The argument of `fit`.
    """
    needs_negatives = _needs_negatives(trainer)
    if ids is not None:
        _warn_of_ids(trainer, ids, needs_negatives)
    if is_rows(x):
        _warn_of_unused_names(trainer, x)
        _warn_of_positives_as_negatives(trainer, x)
    if batch_size == 1 and needs_negatives:
        _checks.warn(
            "`batch_size` is 1, so no row has a negative, and the loss does not train the encoders."
            " Pass a larger `batch_size`."
        )


def warn_of_collapse_and_fast_weights(trainer: Any, loss: Any) -> None:
    """Warns of a loss that equal embeddings minimize, and of a queue with embeddings that age.

    Args:
        trainer: The model.
        loss: The loss that it is compiled with.
    """
    collapses = isinstance(_innermost(loss), NegativeCosine)
    if collapses and trainer.predictors is None and trainer.teacher is None:
        _checks.warn(
            "`loss` is `NegativeCosine`, which is lowest if all embeddings are equal, and nothing "
            "keeps them apart. Pass `predictors` to the trainer, or use `InfoNCE`."
        )
    memory, parts = loss.memory, (trainer.encoders, trainer.projectors)
    layers = [x for p in parts for x in (p.values() if isinstance(p, dict) else [p]) if x]
    is_frozen = not any(layer.trainable for layer in layers)
    is_slow = trainer.teacher is not None or is_frozen
    if memory is not None and not is_slow and not getattr(memory, "warmup_steps", None):
        _checks.warn(
            f"`memory` stores embeddings of weights that change in each step. Received: {memory!r},"
            " without a `teacher`. Old embeddings may mislead the loss. Pass "
            "`teacher=MomentumTeacher()` to the trainer as MoCo does, or `warmup_steps` to the "
            "queue as cross-batch memory does."
        )


def _needs_negatives(trainer: Any) -> bool:
    """Returns whether rows of the batch are the only negatives of a loss that has negatives."""
    return not (
        getattr(trainer.loss, "memory", None) is not None
        or trainer.hard_negatives
        or _has_classes(trainer.loss)
        or isinstance(_innermost(trainer.loss), NegativeCosine)
    )


def _warn_of_ids(trainer: Any, ids: np.ndarray, needs_negatives: bool) -> None:
    if _has_classes(trainer.loss):
        return
    distinct = len(np.unique(ids))
    loss = _innermost(trainer.loss)
    compares_columns = isinstance(loss, (BarlowTwins, VICReg))
    if distinct == 1 < len(ids) and needs_negatives and not compares_columns:
        _checks.warn(
            f"`y` is {ids[0]} in all {len(ids)} rows. Rows with the same id are never negatives of "
            "each other, so no row has a negative, and the loss does not train the encoders. Pass "
            "the ids of the items, or leave `y` out."
        )
        return
    has_positives = isinstance(loss, (SupCon, MultiSimilarity, Circle, Triplet))
    if 10 * distinct <= len(ids) and not trainer.has_towers and not has_positives:
        _checks.warn(
            f"`y` has {distinct} distinct ids for {len(ids)} rows. Rows with the same id are "
            "never negatives of each other. If these are class labels, leave `y` out for "
            "self-supervised training, or train with `SupCon`."
        )
    loses_positives = isinstance(loss, (MultiSimilarity, Circle, Triplet))
    num_views = len(trainer.modalities) + len(trainer.second_view_names)
    if loses_positives and len(trainer.modalities) < num_views == 2 and distinct < len(ids):
        _checks.warn(
            f"`{type(loss).__name__}` gets two views of each row. The positive of a row is then "
            "its other view, and rows with its label are not. For these, train one view, "
            '`ContrastiveTrainer({"image": encoder})` without augmenters, or use `SupCon`.'
        )
    if num_views == 1 and distinct == len(ids) and trainer.loss.memory is None:
        _checks.warn(
            f"`y` has {distinct} labels for {len(ids)} rows, all distinct. With one view, the "
            "positives are other rows with the same label. No row has one, and the loss is always "
            "0. Pass class labels as `y`, or add an augmenter, whose view is the positive."
        )


def _warn_of_unused_names(trainer: Any, x: Structure) -> None:
    if not trainer.has_towers or not isinstance(x, Mapping):
        return
    used = *trainer.modalities, *trainer.extra_inputs
    unused = [name for name in x if name not in used]
    if unused:
        _checks.warn(
            f"`x` has names that the trainer does not use: {', '.join(map(str, unused))}. It uses "
            f"{', '.join(used)}. Ids belong to `y`: `fit(x, ids)`."
        )


def _innermost(loss: Any) -> Any:
    return loss.loss if isinstance(loss, Matryoshka) else loss


def _has_classes(loss: Any) -> bool:
    """Returns whether the candidates are vectors of classes."""
    return getattr(loss, "num_classes", None) is not None


def _warn_of_positives_as_negatives(trainer: Any, x: Structure) -> None:
    for name, modality in trainer.hard_negatives.items():
        if name in trainer.hard_negative_ids.values():
            continue
        equal = _equal_rows(x[name], x[modality], num_per_row(name, x, modality))
        for presence_input, absent_modality in trainer.present.items():
            if absent_modality == modality:  # absent rows have placeholders
                equal &= to_numpy(x[presence_input][: len(equal)]).reshape(-1).astype(bool)
        if equal.any():
            _checks.warn(
                f"`{name}` contains the row's own `{modality}` in {equal.sum()} of the first "
                f"{len(equal)} rows. A positive is then a negative as well. Leave these out, or "
                f'pass ids with `hard_negative_ids={{"{name}_id": "{name}"}}`.'
            )


def _equal_rows(hard: Structure, positives: Structure, num_per_row: int | None) -> np.ndarray:
    """Returns in which of the first rows a hard negative equals the row's own input."""
    axis = 1 if num_per_row is None else 2  # the first axis of the features
    leaves = zip(keras.tree.flatten(hard), keras.tree.flatten(positives), strict=True)
    equal = np.ones((1, 1), bool)
    for pair in leaves:
        candidates, rows = (to_numpy(leaf[:_COMPARED_ROWS]) for leaf in pair)
        rows = rows if num_per_row is None else rows[:, None]
        if candidates.shape[axis:] != rows.shape[axis:]:
            return np.zeros(len(rows), bool)
        same = (candidates == rows).all(axis=tuple(range(axis, candidates.ndim)))
        equal = equal & same.reshape(len(rows), -1)
    return np.asarray(equal.any(axis=1))
