"""Hard negatives of a loss: embeddings, with or without ids, as candidates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import (
    Batch,
    Candidates,
    as_guide,
    as_log_weights,
    dtype_name,
    ids_of_array,
    is_on_host,
)
from keras_contrastive._replicas import current_replicas
from keras_contrastive._typing import ArrayLike, Tensor


def hard_negatives_by_view(hard_negatives: Any) -> Mapping[Any, Any]:
    """Returns hard negatives by view. Raises a `TypeError` unless they are a dict or `None`."""
    if hard_negatives is None:
        return {}
    if not isinstance(hard_negatives, Mapping):
        raise TypeError(
            "`hard_negatives` must be `None` or a dict from views to embeddings `(any, dim)`. "
            f"Received: hard_negatives of type {type(hard_negatives).__name__}. Pass for example "
            "`{1: embeddings}` for candidates of the second view."
        )
    return hard_negatives


def as_hard_negatives(key: Any, given: Any, batch: Batch) -> Candidates:
    """Returns hard negatives of all replicas as candidates. See `local_hard_negatives`."""
    local = local_hard_negatives(key, given, batch)
    parts: list[Any] = [local.embeddings, local.ids, local.log_weights, local.guide]
    replicas = current_replicas(local.embeddings)
    if replicas is not None:
        parts = [None if part is None else replicas.gather(part) for part in parts]
    embeddings, ids, log_weights, guide = parts
    return Candidates(embeddings, ids, ids is not None, log_weights, guide)


def local_hard_negatives(key: Any, given: Any, batch: Batch) -> Candidates:
    """Returns the hard negatives of this replica, checked, as `(any, dim)` with ids or `None`.

    Args:
        key: The view, for messages.
        given: Embeddings, a pair `(embeddings, ids)`, or `Candidates`.
        batch: The batch whose candidates they join.

    Raises:
        TypeError: If they are not floating point, or ids are not integers.
        ValueError: If the shapes do not fit, ids are out of range, or the batch has no ids.
    """
    argument = f"hard_negatives[{key!r}]"
    ids = log_weights = guide = None
    if isinstance(given, Candidates):
        ids, log_weights, guide = given.ids, given.log_weights, given.guide
        given = given.embeddings
    elif isinstance(given, tuple) and len(given) == 2:
        given, ids = given
        if batch.ids is None:
            raise ValueError(
                "`y_true` must hold the ids of the rows if hard negatives have ids. Received: "
                f"y_true=None, {argument} with ids. Pass the ids of the items as `y_true`."
            )
    embeddings = _as_embeddings(argument, given, next(iter(batch.views.values())).shape[1])
    if ids is not None:
        ids = _as_ids(argument, ids, embeddings)
    flat = ops.reshape(embeddings, (-1, embeddings.shape[-1]))
    if log_weights is not None:
        argument = f"{argument}.log_weights"
        log_weights = as_log_weights(argument, ops.reshape(log_weights, (-1,)), flat.shape[0])
    if guide is not None:
        guide = as_guide(f"{argument}.guide", guide)
    return Candidates(flat, ids, log_weights=log_weights, guide=guide)


def _as_embeddings(argument: str, given: Any, dim: int) -> Tensor:
    dtype = dtype_name(given)
    if not dtype.startswith(("float", "bfloat")):
        raise TypeError(
            "Hard negatives must be floating-point embeddings `(any, dim)`. "
            f"Received: {argument} with dtype {dtype}. Leave out a view without any."
        )
    embeddings = ops.convert_to_tensor(given)
    if len(embeddings.shape) not in (2, 3) or embeddings.shape[-1] != dim:
        raise ValueError(
            "Hard negatives must have the shape `(any, dim)` or `(batch, n, dim)`, with the size "
            f"of the embeddings. Received: {argument} {tuple(embeddings.shape)}, dim={dim}."
        )
    return embeddings


def _as_ids(argument: str, given: ArrayLike, embeddings: Tensor) -> Tensor:
    """Returns ids as int32 `(candidates,)`."""
    on_host = is_on_host(given)
    given = np.asarray(given) if on_host else given
    shape, expected = _without_column(given.shape), _without_column(embeddings.shape[:-1])
    if len(shape) != len(expected) or _checks.differ(shape, expected):
        raise ValueError(
            "Ids of hard negatives must have one id for each embedding. "
            f"Received: {argument} {tuple(embeddings.shape)} with ids {tuple(given.shape)}."
        )
    if on_host:
        return ops.convert_to_tensor(ids_of_array(given.reshape(-1), f"{argument}[1]"))
    dtype = dtype_name(given)
    if not dtype.startswith(("int", "uint")):
        raise TypeError(f"`{argument}[1]` must hold integer ids. Received: dtype {dtype}.")
    return ops.cast(ops.reshape(given, (-1,)), "int32")


def _without_column(shape: Sequence[int | None]) -> tuple[int | None, ...]:
    """Returns the shape of `(batch, 1)` as `(batch,)`, and any other one as it is."""
    return tuple(shape[:1]) if len(shape) == 2 and shape[1] == 1 else tuple(shape)
