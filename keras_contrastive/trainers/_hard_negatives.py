"""Hard negatives of a trainer: extra inputs, several per row if need be, with or without ids."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive._engine import (
    MISSING_ID,
    NO_ITEM_ID,
    Batch,
    Candidates,
    check_ids,
    to_numpy,
)
from keras_contrastive._typing import Structure, Tensor
from keras_contrastive.trainers._checks import check_inputs
from keras_contrastive.trainers._guides import embed_by_guide, guide_of


def check_hard_negative_ids(ids: Any, hard_negatives: Any) -> None:
    """Raises unless `hard_negative_ids` maps names of new inputs to different hard negatives."""
    if not ids:
        return
    known = list(hard_negatives or ())
    expected = (
        "`hard_negative_ids` must be a dict from names of inputs to names of `hard_negatives`. "
        f"Received: hard_negative_ids={ids!r}, hard_negatives={hard_negatives!r}."
    )
    if not isinstance(ids, Mapping):
        raise TypeError(expected)
    if not set(ids.values()) <= set(known) or len(set(ids.values())) < len(ids):
        raise ValueError(f"{expected} Each of them has ids from one input.")


def checked_hard_negatives(
    x: Structure, hard_negatives: Mapping[str, str], ids: Mapping[str, str]
) -> Structure:
    """Checks hard negatives in arrays, on the host. Returns `x` with int32 ids.

    Args:
        x: Inputs by name.
        hard_negatives: Modalities by names of inputs.
        ids: Names of hard negatives by names of inputs.

    Raises:
        TypeError: If ids are not integers.
        ValueError: If shapes do not fit, or ids are out of range.
    """
    counts = {name: num_per_row(name, x, modality) for name, modality in hard_negatives.items()}
    for id_name, name in ids.items():
        values = to_numpy(x[id_name])
        count = counts[name] or 1
        if values.dtype.kind not in "iu":
            raise TypeError(
                f"`{id_name}` must hold integer ids of the items in `{name}`. Received: dtype "
                f"{values.dtype}. Map keys to integers as for `y`."
            )
        if not has_one_for_each(values, count):
            raise ValueError(
                f"`{id_name}` must have one id for each item of `{name}`, which has {count} for "
                f"each row. Received: shape {values.shape}."
            )
        check_ids(values, None, id_name)
        x = {**x, id_name: values.astype("int32")}
    return x


def has_one_for_each(values: np.ndarray, count: int) -> bool:
    """Returns whether there are `count` values for each row, `(batch,)` or `(batch, n)`."""
    return values.ndim in (1, 2) and values.size == len(values) * count


def num_per_row(name: str, x: Structure, modality: str) -> int | None:
    """Returns how many hard negatives each row has, or `None` if there is no axis for them.

    Raises:
        ValueError: If the input has another rank than that of its modality, or one more.
    """
    shape, expected = (tuple(keras.tree.flatten(x[key])[0].shape) for key in (name, modality))
    if len(shape) - len(expected) not in (0, 1):
        raise ValueError(
            f"`{name}` must have the shape of `{modality}`, or `(batch, n, ...)` for several hard "
            f"negatives of a row. Received: {name} {shape}, {modality} {expected}."
        )
    return shape[1] if len(shape) > len(expected) else None


def hard_candidates(
    trainer: Any, batch: Batch, x: Structure, training: bool
) -> dict[str, Candidates]:
    """Embeds hard negatives, and returns them by the modality whose candidates they join.

    Args:
        trainer: A trainer with `hard_negatives`, `hard_negative_ids` and `log_weights`.
        batch: The batch of the step.
        x: The inputs of the step.
        training: Whether this is a training step.
    """
    names = (*trainer.modalities, *trainer.hard_negatives, *trainer.hard_negative_ids)
    if trainer.hard_negatives:
        check_inputs(x, names)
    inputs_of_ids = {name: id_name for id_name, name in trainer.hard_negative_ids.items()}
    inputs_of_log_weights = {owner: name for name, owner in trainer.log_weights.items()}
    parts: dict[str, list[Candidates]] = {}
    for name, modality in trainer.hard_negatives.items():
        count = num_per_row(name, x, modality)
        inputs = x[name] if count is None else keras.tree.map_structure(_flat, x[name])
        embeddings = trainer.embed(modality, inputs, training)
        given = x[inputs_of_ids[name]] if name in inputs_of_ids else None
        ids = _ids(given, batch.present.get(modality), count or 1)
        log_weights = None
        if name in inputs_of_log_weights:
            log_weights = ops.reshape(x[inputs_of_log_weights[name]], (-1,))
        guide = None
        if trainer.guides is not None and guide_of(trainer, modality) is not None:
            guide = embed_by_guide(trainer, modality, inputs)
        part = Candidates(embeddings, ids, log_weights=log_weights, guide=guide)
        parts.setdefault(modality, []).append(part)
    return {modality: _joined(candidates) for modality, candidates in parts.items()}


def _flat(leaf: Tensor) -> Tensor:
    """Returns `(batch, n, ...)` as `(batch * n, ...)`."""
    return ops.reshape(leaf, (-1, *ops.shape(leaf)[2:]))


def _ids(given: Tensor | None, present: Tensor | None, count: int) -> Tensor | None:
    """Returns ids `(batch * count,)`, or `None` if all hard negatives exist and none has an id."""
    ids = None if given is None else ops.cast(ops.reshape(given, (-1,)), "int32")
    if present is None:
        return ids
    present = ops.repeat(present, count)
    if ids is None:
        ids = ops.full_like(ops.cast(present, "int32"), NO_ITEM_ID)
    return ops.where(present, ids, ops.full_like(ids, MISSING_ID))


def _joined(candidates: list[Candidates]) -> Candidates:
    """Returns several candidates as one. Those without ids or log-weights get neutral ones."""
    embeddings = ops.concatenate([part.embeddings for part in candidates])
    ids = log_weights = None
    if any(part.ids is not None for part in candidates):
        ids = ops.concatenate(
            [
                ops.full((ops.shape(part.embeddings)[0],), NO_ITEM_ID, dtype="int32")
                if part.ids is None
                else part.ids
                for part in candidates
            ]
        )
    if any(part.log_weights is not None for part in candidates):
        log_weights = ops.concatenate(
            [
                ops.zeros((ops.shape(part.embeddings)[0],), "float32")
                if part.log_weights is None
                else ops.cast(part.log_weights, "float32")
                for part in candidates
            ]
        )
    guides = [part.guide for part in candidates if part.guide is not None]
    guide = ops.concatenate(guides) if guides else None
    return Candidates(embeddings, ids, log_weights=log_weights, guide=guide)
