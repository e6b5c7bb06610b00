"""Changes that `fit` and `evaluate` make to their arguments before Keras gets them."""

import contextlib
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_contrastive._engine import check_ids
from keras_contrastive._replicas import num_processes, process_index
from keras_contrastive._typing import ArrayLike, Structure
from keras_contrastive.trainers._epoch_data import (
    ArrayBatches,
    ProcessShard,
    check_divisible,
    ids_for_weights,
    is_arrays,
    row_numbers,
    split_off,
)
from keras_contrastive.trainers._resume import (
    ResumeCallback,
    TrainingProgress,
    disable_backup_of_later_processes,
)

_BATCH_SIZE = 32  # the default of Keras


def prepare_fit(trainer: Any, progress: TrainingProgress, arguments: dict[str, Any]) -> None:
    """Adds ids, fixes the order of the rows, splits them among processes, and tracks progress.

    Args:
        trainer: The model.
        progress: Its `TrainingProgress`.
        arguments: All arguments of `fit` by name. They are changed in place.
    """
    if arguments["class_weight"] is not None:
        raise ValueError(
            "`class_weight` must be `None`, since `y` contains ids and not classes. "
            f"Received: class_weight={arguments['class_weight']}. Pass `sample_weight` instead."
        )
    x, y, weights = arguments["x"], arguments["y"], arguments["sample_weight"]
    num_items = getattr(getattr(trainer, "loss", None), "num_items", None)
    if y is None and num_items is not None:
        y = row_numbers(x, num_items)
    elif isinstance(y, np.ndarray) and np.issubdtype(y.dtype, np.integer):
        check_ids(y, num_items, name="y")
    arguments["y"] = ids_for_weights(x, y, weights)
    _prepare_validation(arguments)
    batches = _prepare_batches(arguments)
    _build_before_restore(trainer, x, arguments["callbacks"])
    tracked = None if arguments["steps_per_epoch"] else batches
    callback = ResumeCallback(progress, tracked, arguments["initial_epoch"])
    arguments["callbacks"] = _with_resume(callback, arguments["callbacks"])
    if process_index():
        arguments["verbose"] = 0


def prepare_evaluate(arguments: dict[str, Any]) -> None:
    """Adds ids and splits the rows among processes.

    Args:
        arguments: All arguments of `evaluate` by name. They are changed in place.
    """
    x, weights = arguments["x"], arguments["sample_weight"]
    y = ids_for_weights(x, arguments["y"], weights, new=True)
    if arguments["kwargs"]:  # `fit` calls `evaluate` with data that it has prepared
        arguments["y"] = y
        return
    batch_size = arguments["batch_size"] or _BATCH_SIZE
    x, y, weights = _evaluated_rows(x, y, weights, batch_size)
    arguments["x"], arguments["y"], arguments["sample_weight"] = x, y, weights


def _prepare_batches(arguments: dict[str, Any]) -> ArrayBatches | None:
    """Replaces arrays by batches in a known order. Returns them, or `None` for other data."""
    x, y, weights = arguments["x"], arguments["y"], arguments["sample_weight"]
    shard = process_index(), num_processes()
    if not is_arrays(x):
        arguments["x"] = _shard_dataset(x, shard)
        return None
    batch_size = arguments["batch_size"] or _BATCH_SIZE
    ordered = bool(arguments["shuffle"]) and not arguments["steps_per_epoch"]
    if not ordered and shard[1] == 1:
        return None
    arrays = _without_none(x, y, weights)
    if arguments["validation_split"] and arguments["validation_data"] is None:
        arrays, validation = split_off(arrays, arguments["validation_split"])
        arguments["validation_data"] = validation if len(validation) > 1 else (*validation, None)
        _prepare_validation(arguments)
    batches = ArrayBatches(arrays, batch_size, bool(arguments["shuffle"]), shard)
    check_divisible(batches.num_rows, batch_size)
    arguments["validation_batch_size"] = arguments["validation_batch_size"] or batch_size
    arguments |= {"x": batches, "y": None, "sample_weight": None, "batch_size": None}
    arguments |= {"shuffle": False, "validation_split": 0.0}
    return batches


def _prepare_validation(arguments: dict[str, Any]) -> None:
    validation = arguments["validation_data"]
    if not isinstance(validation, (tuple, list)):
        return
    x, y, weights = (*validation, None, None)[:3]
    y = ids_for_weights(x, y, weights, new=True)
    batch_size = arguments["validation_batch_size"] or arguments["batch_size"] or _BATCH_SIZE
    x, y, weights = _evaluated_rows(x, y, weights, batch_size)
    arguments["validation_data"] = (
        x if isinstance(x, ArrayBatches) else (x, y, weights)[: max(len(validation), 2)]
    )


def _evaluated_rows(
    x: Structure, y: ArrayLike | None, weights: ArrayLike | None, batch_size: int
) -> tuple[Structure, ArrayLike | None, ArrayLike | None]:
    """Returns the rows that this process evaluates."""
    shard = process_index(), num_processes()
    if not is_arrays(x):
        return _shard_dataset(x, shard), y, weights
    check_divisible(keras.tree.flatten(x)[0].shape[0], batch_size)
    if shard[1] == 1:
        return x, y, weights
    return ArrayBatches(_without_none(x, y, weights), batch_size, shard=shard), None, None


def _shard_dataset(x: Any, shard: tuple[int, int]) -> Any:
    """Returns the rows that this process takes from the batches of a data set."""
    if shard[1] == 1:
        return x
    if isinstance(x, keras.utils.PyDataset):
        return x if isinstance(x, ArrayBatches) else ProcessShard(x, shard)
    if type(getattr(x, "sampler", None)).__name__ in ("RandomSampler", "SequentialSampler"):
        warnings.warn(
            f"Each of {shard[1]} processes reads this whole `DataLoader` and treats its batches as "
            "different rows. Give the loader a `torch.utils.data.DistributedSampler`.",
            stacklevel=4,
        )
    return x


def _without_none(*parts: Any) -> tuple[Any, ...]:
    return tuple(part for part in parts if part is not None)


def _with_resume(callback: ResumeCallback, callbacks: Any) -> Any:
    """Returns the callbacks of the user between the two parts of the resume callback."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.callbacks.insert(0, callback)
        callback.set_model(callbacks.model)
        callback.resume.set_model(callbacks.model)
        callbacks.callbacks.append(callback.resume)
        return callbacks
    callbacks = _as_list(callbacks)
    disable_backup_of_later_processes(callbacks)
    return [callback, *callbacks, callback.resume]


def _build_before_restore(trainer: Any, x: Structure, callbacks: Any) -> None:
    # `BackupAndRestore` restores weights before the first step, so the model must have them.
    restores = any(isinstance(c, keras.callbacks.BackupAndRestore) for c in _as_list(callbacks))
    if restores and not trainer.built and is_arrays(x):
        strategy = getattr(trainer, "distribute_strategy", None)
        with strategy.scope() if strategy is not None else contextlib.nullcontext():
            trainer(keras.tree.map_structure(lambda array: array[:1], x), training=False)


def _as_list(callbacks: Any) -> Sequence[Any]:
    if isinstance(callbacks, (list, tuple)):
        return list(callbacks)
    return [] if callbacks is None else [callbacks]
