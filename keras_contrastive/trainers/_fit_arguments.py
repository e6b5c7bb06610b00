"""What `fit` and `evaluate` do with their arguments before Keras sees them."""

import contextlib
import warnings

import keras
import numpy as np

from keras_contrastive._engine import check_ids
from keras_contrastive._replicas import num_processes, process_index
from keras_contrastive.trainers._epoch_data import (
    Part,
    Rows,
    are_arrays,
    check_divisible,
    ids_for_weights,
    row_numbers,
    split_off,
)
from keras_contrastive.trainers._resume import Session, only_first_writes

_BATCH_SIZE = 32  # Keras' own


def prepare_fit(trainer, progress, arguments):
    """Make up ids, choose the order of the rows, share them among processes, and keep track.

    Args:
        trainer: The model.
        progress: Its `Progress`.
        arguments: Dict of all arguments of `fit`, which is changed.
    """
    if arguments["class_weight"] is not None:
        raise ValueError(
            "`class_weight` cannot be used: `y` holds ids, not classes. Pass `sample_weight` instead."
        )
    x, y, weights = arguments["x"], arguments["y"], arguments["sample_weight"]
    num_items = getattr(getattr(trainer, "loss", None), "num_items", None)
    if y is None and num_items is not None:
        y = row_numbers(x, num_items)
    elif isinstance(y, np.ndarray) and np.issubdtype(y.dtype, np.integer):
        check_ids(y, num_items, name="y")
    arguments["y"] = ids_for_weights(x, y, weights)
    _prepare_validation(arguments)
    rows = _prepare_rows(arguments)
    _build_for_backup(trainer, x, arguments["callbacks"])
    session = Session(
        progress, None if arguments["steps_per_epoch"] else rows, arguments["initial_epoch"]
    )
    arguments["callbacks"] = _with_session(session, arguments["callbacks"])
    if process_index():
        arguments["verbose"] = 0


def prepare_evaluate(arguments):
    """Make up ids, and share the rows among processes.

    Args:
        arguments: Dict of all arguments of `evaluate`, which is changed.
    """
    x, weights = arguments["x"], arguments["sample_weight"]
    y = ids_for_weights(x, arguments["y"], weights, new=True)
    if not arguments["kwargs"]:  # else it is `fit` that asks, with its own data
        batch_size = arguments["batch_size"] or _BATCH_SIZE
        arguments["x"], arguments["y"], arguments["sample_weight"] = _shared(
            x, y, weights, batch_size
        )
    else:
        arguments["y"] = y


def _prepare_rows(arguments):
    """The rows to learn from in an order of ours, or `None`."""
    x, y, weights = arguments["x"], arguments["y"], arguments["sample_weight"]
    part = process_index(), num_processes()
    if not are_arrays(x):
        arguments["x"] = _part_of(x, part)
        return None
    batch_size = arguments["batch_size"] or _BATCH_SIZE
    ordered = bool(arguments["shuffle"]) and not arguments["steps_per_epoch"]
    if not ordered and part[1] == 1:
        return None
    arrays = _as_tuple(x, y, weights)
    if arguments["validation_split"] and arguments["validation_data"] is None:
        arrays, validation = split_off(arrays, arguments["validation_split"])
        arguments["validation_data"] = validation if len(validation) > 1 else (*validation, None)
        _prepare_validation(arguments)
    rows = Rows(arrays, batch_size, bool(arguments["shuffle"]), part)
    check_divisible(rows.num_rows, batch_size)
    arguments["validation_batch_size"] = arguments["validation_batch_size"] or batch_size
    own = {
        "x": rows,
        "y": None,
        "sample_weight": None,
        "batch_size": None,
        "shuffle": False,
        "validation_split": 0.0,
    }
    arguments.update(own)
    return rows


def _prepare_validation(arguments):
    validation = arguments["validation_data"]
    if not isinstance(validation, (tuple, list)):
        return
    x, y, weights = (*validation, None, None)[:3]
    y = ids_for_weights(x, y, weights, new=True)
    batch_size = arguments["validation_batch_size"] or arguments["batch_size"] or _BATCH_SIZE
    x, y, weights = _shared(x, y, weights, batch_size)
    arguments["validation_data"] = (
        x if isinstance(x, Rows) else (x, y, weights)[: max(len(validation), 2)]
    )


def _shared(x, y, weights, batch_size):
    """What this process evaluates of `x`, ids and weights."""
    if not are_arrays(x):
        return _part_of(x, (process_index(), num_processes())), y, weights
    check_divisible(keras.tree.flatten(x)[0].shape[0], batch_size)
    if num_processes() == 1:
        return x, y, weights
    part = process_index(), num_processes()
    return Rows(_as_tuple(x, y, weights), batch_size, part=part), None, None


def _part_of(x, part):
    """The rows that this process takes of the batches of a data set."""
    if part[1] == 1:
        return x
    if isinstance(x, keras.utils.PyDataset):
        return x if isinstance(x, Rows) else Part(x, part)
    if type(getattr(x, "sampler", None)).__name__ in ("RandomSampler", "SequentialSampler"):
        warnings.warn(
            f"Each of {part[1]} processes goes through this whole `DataLoader`, and takes its batches as rows of its "
            "own. Give the loader a `torch.utils.data.DistributedSampler`.",
            stacklevel=4,
        )
    return x


def _as_tuple(x, y, weights):
    return tuple(part for part in (x, y, weights) if part is not None)


def _with_session(session, callbacks):
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.callbacks.insert(0, session)
        session.set_model(callbacks.model)
        session.resume.set_model(callbacks.model)
        callbacks.callbacks.append(session.resume)
        return callbacks
    callbacks = (
        list(callbacks)
        if isinstance(callbacks, (list, tuple))
        else [callbacks]
        if callbacks
        else []
    )
    only_first_writes(callbacks)
    return [session, *callbacks, session.resume]


def _build_for_backup(trainer, x, callbacks):
    # `BackupAndRestore` restores before the first step, when there must be something to restore.
    callbacks = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    wanted = any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in callbacks)
    if wanted and not trainer.built and are_arrays(x):
        strategy = getattr(trainer, "distribute_strategy", None)
        with strategy.scope() if strategy is not None else contextlib.nullcontext():
            trainer(keras.tree.map_structure(lambda array: array[:1], x), training=False)
