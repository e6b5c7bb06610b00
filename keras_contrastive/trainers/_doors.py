"""The doors of a trainer: what happens to the arguments of `fit`, `evaluate`, `predict` and the
methods of one batch before Keras gets them.
"""

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_contrastive._replicas import num_processes, process_index
from keras_contrastive._typing import ArrayLike, Structure
from keras_contrastive.trainers._augmenter_checks import warn_of_values
from keras_contrastive.trainers._build_before_fit import build_before_fit
from keras_contrastive.trainers._contract import (
    DataContract,
    contract_of,
    prediction_contract,
)
from keras_contrastive.trainers._data_sets import (
    OrderedDataset,
    TakeShard,
    checked,
    errors_in_our_words,
    mapped,
    samplers_of,
)
from keras_contrastive.trainers._epoch_data import (
    BATCH_SIZE,
    ArrayBatches,
    check_divisible,
    ids_for_weights,
    is_rows,
    new_ids,
    row_numbers,
    split_off,
)
from keras_contrastive.trainers._likely_mistakes import warn_of_likely_mistakes
from keras_contrastive.trainers._resume import (
    ResumeCallback,
    TrainingProgress,
    disable_backup_of_later_processes,
)

__all__ = [
    "bind",
    "errors_in_our_words",
    "prepare_batch",
    "prepare_evaluate",
    "prepare_fit",
    "prepare_predict",
]


def prepare_fit(trainer: Any, progress: TrainingProgress, arguments: dict[str, Any]) -> None:
    """Checks the data, adds ids, fixes the order of the rows, and tracks progress.

    Several processes share the rows.

    Args:
        trainer: The model.
        progress: Its `TrainingProgress`.
        arguments: All arguments of `fit` by name. They are changed in place.
    """
    _check_class_weight(arguments)
    contract = contract_of(trainer, training=True)
    _check_data(arguments, contract)
    x, y = arguments["x"], arguments["y"]
    warn_of_likely_mistakes(trainer, x, y, arguments["batch_size"])
    warn_of_values(trainer.augmenters, x)
    if y is None and (contract.ids_reason or getattr(trainer.loss, "memory", None) is not None):
        y = row_numbers(x, contract.num_items)
    arguments["y"] = ids_for_weights(x, y, arguments["sample_weight"])
    _check_validation(trainer, arguments)
    _prepare_validation(arguments)
    batches = _prepare_batches(arguments)
    build_before_fit(trainer, x, _as_list(arguments["callbacks"]))
    callback = ResumeCallback(
        progress, batches, arguments["initial_epoch"], samplers_of(arguments["x"])
    )
    arguments["callbacks"] = _with_resume(callback, arguments["callbacks"])
    if process_index():
        arguments["verbose"] = 0


def prepare_evaluate(trainer: Any, arguments: dict[str, Any]) -> None:
    """Checks the data, adds ids, and splits the rows among processes.

    Args:
        trainer: The model.
        arguments: All arguments of `evaluate` by name. They are changed in place.
    """
    if arguments["kwargs"]:  # `fit` calls `evaluate` with data that it has prepared
        return
    contract = contract_of(trainer)
    _check_data(arguments, contract)
    _number_evaluated_rows(arguments, contract)
    x, weights = arguments["x"], arguments["sample_weight"]
    y = ids_for_weights(x, arguments["y"], weights, new=True)
    batch_size = arguments["batch_size"] or BATCH_SIZE
    x, y, weights = _evaluated_rows(x, y, weights, batch_size)
    arguments["x"], arguments["y"], arguments["sample_weight"] = x, y, weights


def prepare_predict(trainer: Any, x: Structure) -> Any:
    """Checks the inputs of `predict`, and returns them.

    Args:
        trainer: The model.
        x: Arrays or a data set.
    """
    contract = prediction_contract(trainer)
    return contract.arrays(x)[0] if is_rows(x) else checked(x, contract)


def prepare_batch(trainer: Any, arguments: dict[str, Any], training: bool) -> None:
    """Checks one batch.

    Args:
        trainer: The model.
        arguments: All arguments of `train_on_batch` or `test_on_batch` by name. They are changed in
            place.
        training: Whether this is a training step.
    """
    _check_class_weight(arguments)
    contract = contract_of(trainer, training)
    if contract.ids_reason and arguments["y"] is None:
        raise ValueError(
            f"`y` must hold the ids of the rows, since {contract.ids_reason}. Received: y=None."
        )
    _check_data(arguments, contract)


def bind(method: Callable[..., Any], *args: Any, **kwargs: Any) -> inspect.BoundArguments:
    """Returns all arguments of a call of a method by name, defaults included."""
    bound = inspect.signature(method).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound


def _check_class_weight(arguments: dict[str, Any]) -> None:
    if arguments.get("class_weight") is not None:
        raise ValueError(
            "`class_weight` must be `None`, since `y` contains ids and not classes. "
            f"Received: class_weight={arguments['class_weight']}. Pass `sample_weight` instead."
        )


def _check_data(arguments: dict[str, Any], contract: DataContract) -> None:
    """Checks arrays now, and data sets when their batches are served."""
    x = arguments["x"]
    if is_rows(x):
        parts = contract.arrays(x, arguments["y"], arguments["sample_weight"])
        arguments["x"], arguments["y"], arguments["sample_weight"] = parts
    else:
        arguments["x"] = checked(x, contract)


def _number_evaluated_rows(arguments: dict[str, Any], contract: DataContract) -> None:
    """Adds ids if there are none and the trainer needs them, because hard negatives have ids.

    Those of hard negatives are then row numbers. Both become ids of new items.
    """
    x = arguments["x"]
    if arguments["y"] is None and contract.ids_reason and is_rows(x):
        arguments["y"] = new_ids(row_numbers(x))
        ids = {name: new_ids(x[name]) for name, _ in contract.hard_negative_ids}
        arguments["x"] = {**x, **ids}


def _check_validation(trainer: Any, arguments: dict[str, Any]) -> None:
    validation = arguments["validation_data"]
    if validation is None:
        return
    contract = contract_of(trainer, source="validation_data")
    if isinstance(validation, (tuple, list)):
        parts = dict(zip(("x", "y", "sample_weight"), (*validation, None, None), strict=False))
        _check_data(parts, contract)
        _number_evaluated_rows(parts, contract)
        arguments["validation_data"] = tuple(parts.values())[: max(len(validation), 2)]
    elif is_rows(validation):
        raise TypeError(
            "`validation_data` must be a tuple `(x, ids)` or `(x,)`, or a data set. Received: "
            f"{type(validation).__name__}. Pass `validation_data=(x, None)`."
        )
    else:
        arguments["validation_data"] = checked(validation, contract)


def _prepare_batches(arguments: dict[str, Any]) -> ArrayBatches | OrderedDataset | None:
    """Replaces arrays by batches in a known order. Returns those, or `None` for other data.

    Raises:
        ValueError: If `steps_per_epoch` does not fit the data.
    """
    x, y, weights = arguments["x"], arguments["y"], arguments["sample_weight"]
    shard = process_index(), num_processes()
    if not is_rows(x):
        arguments["x"] = x = _shard_dataset(x, shard)
        if not isinstance(x, OrderedDataset):
            return None
        if arguments["steps_per_epoch"]:
            raise ValueError(
                "`steps_per_epoch` must be `None` for a data set that orders its own epochs. "
                f"Received: steps_per_epoch={arguments['steps_per_epoch']}. Pass it to the data "
                "set, for example `kc.samplers.ClassBalanced(..., steps_per_epoch=...)`."
            )
        arguments["shuffle"] = False
        return x
    batch_size = arguments["batch_size"] or BATCH_SIZE
    arrays = _without_none(x, y, weights)
    if arguments["validation_split"] and arguments["validation_data"] is None:
        arrays, validation = split_off(arrays, arguments["validation_split"])
        arguments["validation_data"] = validation if len(validation) > 1 else (*validation, None)
        _prepare_validation(arguments)
    shuffle, steps = bool(arguments["shuffle"]), arguments["steps_per_epoch"]
    batches = ArrayBatches(arrays, batch_size, shuffle, shard, steps)
    check_divisible(batches.num_rows, batch_size)
    arguments["validation_batch_size"] = arguments["validation_batch_size"] or batch_size
    arguments |= {"x": batches, "y": None, "sample_weight": None, "batch_size": None}
    arguments |= {"shuffle": False, "validation_split": 0.0, "steps_per_epoch": None}
    return batches


def _prepare_validation(arguments: dict[str, Any]) -> None:
    validation = arguments["validation_data"]
    if validation is None:
        return
    parts = validation if isinstance(validation, (tuple, list)) else (validation,)
    x, y, weights = (*parts, None, None)[:3]
    y = ids_for_weights(x, y, weights, new=True)
    batch_size = arguments["validation_batch_size"] or arguments["batch_size"] or BATCH_SIZE
    x, y, weights = _evaluated_rows(x, y, weights, batch_size)
    arguments["validation_data"] = (x, y, weights)[: max(len(parts), 2)] if is_rows(x) else x


def _evaluated_rows(
    x: Structure, y: ArrayLike | None, weights: ArrayLike | None, batch_size: int
) -> tuple[Structure, ArrayLike | None, ArrayLike | None]:
    """Returns the rows that this process evaluates."""
    shard = process_index(), num_processes()
    if not is_rows(x):
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
        return x if isinstance(x, ArrayBatches) else mapped(x, TakeShard(shard))
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


def _as_list(callbacks: Any) -> Sequence[Any]:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    if isinstance(callbacks, (list, tuple)):
        return list(callbacks)
    return [] if callbacks is None else [callbacks]
