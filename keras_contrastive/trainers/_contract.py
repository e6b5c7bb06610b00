"""The data contract of a trainer: which `x`, `y` and `sample_weight` it accepts.

All checks run on the host, before Keras gets the data. On JAX, an error inside a compiled step
would take the weights with it.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_contrastive._engine import check_classes, ids_of_array, to_numpy
from keras_contrastive._typing import ArrayLike, Structure
from keras_contrastive.trainers._absent_rows import checked_presence
from keras_contrastive.trainers._checks import (
    check_inputs,
    check_numbers,
    check_some_inputs,
    path_name,
)
from keras_contrastive.trainers._hard_negatives import checked_hard_negatives
from keras_contrastive.trainers._input_specs import vocabulary_size
from keras_contrastive.trainers._log_weights import checked_log_weights
from keras_contrastive.trainers._sample_weights import weights_of_array


@dataclasses.dataclass(frozen=True)
class DataContract:
    """Requirements of a trainer on data, for one of `fit`, `evaluate`, `predict` and others.

    Args:
        inputs: Names that `x` must have, or `None` if `x` is the input of one encoder.
        present: Names of inputs that say which rows have a modality, and these modalities.
        optional_inputs: `None`, or the names that `x` may have besides `inputs`. Some of `inputs`
            are then enough.
        vocabularies: Sizes of the vocabularies of inputs that are token ids, by name.
        num_items: `None`, or the number of items that the loss stores state for.
        num_classes: `None`, or the number of classes of the loss. Ids are labels below it.
        hard_negatives: Names of inputs that are hard negatives, and their modalities.
        hard_negative_ids: Names of inputs that are ids, and of the hard negatives that have them.
        log_weights: Names of inputs that are log-weights, and of the modalities or hard negatives
            that have them.
        has_ids: Whether batches may have ids and weights. Otherwise, all but `x` is ignored.
        ids_reason: Why each batch must have ids, or "" if it need not, for messages.
        source: The argument that the data belongs to, for messages, such as `"validation_data"`.
    """

    inputs: tuple[str, ...] | None = None
    present: tuple[tuple[str, str], ...] = ()
    optional_inputs: tuple[str, ...] | None = None
    vocabularies: tuple[tuple[str, int], ...] = ()
    num_items: int | None = None
    num_classes: int | None = None
    hard_negatives: tuple[tuple[str, str], ...] = ()
    hard_negative_ids: tuple[tuple[str, str], ...] = ()
    log_weights: tuple[tuple[str, str], ...] = ()
    has_ids: bool = True
    ids_reason: str = ""
    source: str = ""

    def arrays(
        self, x: Structure, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> tuple[Structure, np.ndarray | None, np.ndarray | None]:
        """Checks rows, and returns them with lists and tables as arrays, and ids as int32.

        Raises:
            TypeError: If `x` has another structure, or ids are not integers.
            ValueError: If inputs are missing, or numbers of rows differ, or ids are out of range.
        """
        with self.named():
            x = as_arrays(x)
            self._check_structure(x)
            rows = _num_rows(x)
            self._check_tokens(x)
            hard_negatives, present = dict(self.hard_negatives), dict(self.present)
            x = checked_presence(x, list(present))
            x = checked_hard_negatives(x, hard_negatives, dict(self.hard_negative_ids))
            x = checked_log_weights(x, dict(self.log_weights), hard_negatives, present)
            check_numbers(x)
            if y is not None:
                y = ids_of_array(as_arrays(y, "y"), "y", self.num_items)
                _check_count("y", "id", len(y), rows)
            if self.num_classes is not None:
                self._check_labels(y)
            if sample_weight is not None:
                sample_weight = weights_of_array(as_arrays(sample_weight, "sample_weight"))
                _check_count("sample_weight", "weight", len(sample_weight), rows)
            return x, y, sample_weight

    def checked_batch(self, batch: Structure) -> Structure:
        """Returns a batch of a data set: `x`, `(x,)`, `(x, ids)` or `(x, ids, weights)`."""
        with self.named():
            x, y, sample_weight = self._unpack(batch)
        self.arrays(x, y, sample_weight)
        return batch

    def check_spec(self, spec: Structure) -> None:
        """Raises unless elements of a `tf.data.Dataset` have the structure of `checked_batch`."""
        with self.named():
            x, y, _ = self._unpack(spec)
            self._check_structure(x)
            ids = {} if y is None else {"y": y}
            ids |= {name: x[name] for name, _ in self.hard_negative_ids}
            for name, values in ids.items():
                if not values.dtype.is_integer:
                    kind = f"dtype {values.dtype.name}".replace("dtype string", "strings")
                    raise TypeError(
                        f"`{name}` must hold integer ids or labels, one for each row. Received: "
                        f"{kind}. Map them to integers with "
                        f"`np.unique({name}, return_inverse=True)[1]`."
                    )

            for name, _ in self.log_weights:
                if not (x[name].dtype.is_integer or x[name].dtype.is_floating):
                    raise TypeError(
                        f"`{name}` must hold log-weights, one number for each candidate. Received: "
                        f"dtype {x[name].dtype.name}."
                    )
            check_numbers(x)

    def _unpack(self, batch: Structure) -> tuple[Structure, Any, Any]:
        parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
        if not 1 <= len(parts) <= 3 or (self.inputs and not isinstance(parts[0], Mapping)):
            raise TypeError(
                f"Each batch of a data set must be `x`, `(x, ids)` or "
                f"`(x, ids, sample_weight)`, where `x` is {self._expected()}. "
                f"Received: {_kind(batch)}."
            )
        x, y, sample_weight = (*parts, None, None)[:3]
        if not self.has_ids:
            return x, None, None
        if y is None and self.ids_reason:
            raise ValueError(
                "Each batch of a data set must have the ids of its items, since "
                f"{self.ids_reason}. Received: batches without ids. Make the data set return "
                "`(x, ids)`."
            )
        return x, y, sample_weight

    def _check_structure(self, x: Structure) -> None:
        if self.inputs is not None and self.optional_inputs is not None:
            check_some_inputs(x, self.inputs, self.optional_inputs)
        elif self.inputs is not None:
            check_inputs(x, self.inputs)

    def _check_tokens(self, x: Structure) -> None:
        for name, size in self.vocabularies:
            tokens = x if self.inputs is None else x.get(name)
            if isinstance(tokens, Mapping):
                tokens = tokens.get("token_ids")
            ids = to_numpy(tokens) if hasattr(tokens, "shape") else np.zeros(0, int)
            if ids.size and ids.dtype.kind in "iu" and not 0 <= ids.min() <= ids.max() < size:
                raise ValueError(
                    f"`{name}` must be token ids in [0, {size}), the vocabulary of its encoder. "
                    f"Received: ids from {ids.min()} to {ids.max()}."
                )

    def _check_labels(self, y: np.ndarray | None) -> None:
        if y is None:
            raise ValueError(
                f"`y` must hold a label for each row, since {self.ids_reason}. Received: y=None. "
                f"Pass integers in [0, {self.num_classes})."
            )
        check_classes(y, self.num_classes or 0, "y")

    def _expected(self) -> str:
        if self.inputs is None:
            return "the input of the encoder"
        return "the dict {" + ", ".join(f'"{name}": ...' for name in self.inputs) + "}"

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Adds the name of the argument that the data belongs to, to errors."""
        try:
            yield
        except (TypeError, ValueError) as error:
            if not self.source:
                raise
            raise type(error)(f"In `{self.source}`: {error}") from error


def contract_of(trainer: Any, training: bool = False, source: str = "") -> DataContract:
    """Returns the data contract of a trainer that trains or evaluates."""
    num_items = getattr(trainer.loss, "num_items", None) if training else None
    ids_reason = "hard negatives have ids" if trainer.hard_negative_ids else ""
    if num_items is not None:
        ids_reason = f"the loss has num_items={num_items}"
    num_classes = getattr(trainer.loss, "num_classes", None)
    if num_classes is not None:
        ids_reason = f"the loss has vectors of num_classes={num_classes} classes"
    return dataclasses.replace(
        prediction_contract(trainer),
        has_ids=True,
        inputs=(*trainer.modalities, *trainer.extra_inputs) if trainer.has_towers else None,
        optional_inputs=None,
        present=tuple(trainer.present.items()),
        num_items=num_items,
        num_classes=num_classes,
        hard_negatives=tuple(trainer.hard_negatives.items()),
        hard_negative_ids=tuple(trainer.hard_negative_ids.items()),
        log_weights=tuple(trainer.log_weights.items()),
        ids_reason=ids_reason,
        source=source,
    )


def prediction_contract(trainer: Any) -> DataContract:
    """Returns the data contract of a trainer that predicts."""
    if not trainer.has_towers:
        return one_encoder_contract(trainer.encoders)
    sizes = {name: vocabulary_size(tower) for name, tower in trainer.encoders.items()}
    return DataContract(
        inputs=trainer.modalities,
        optional_inputs=trainer.extra_inputs,
        has_ids=False,
        vocabularies=tuple((name, size) for name, size in sizes.items() if size is not None),
    )


def one_encoder_contract(encoder: Any) -> DataContract:
    """Returns the data contract of a model of one encoder."""
    size = vocabulary_size(encoder)
    return DataContract(vocabularies=() if size is None else (("x", size),), has_ids=False)


def is_table(x: Any) -> bool:
    """Returns whether `x` is a table or a column of one, of pandas or polars."""
    return type(x).__module__.partition(".")[0] in ("pandas", "polars")


def as_arrays(x: Structure, name: str = "x") -> Structure:
    """Returns a structure whose leaves that are lists of numbers, or tables, are NumPy arrays."""
    if isinstance(x, Mapping):
        return {key: as_arrays(value, str(key)) for key, value in x.items()}
    if is_table(x):
        return x.to_numpy()
    if not isinstance(x, (list, tuple)):
        return x
    if any(hasattr(leaf, "shape") for leaf in keras.tree.flatten(x)):
        return type(x)(as_arrays(value, name) for value in x)
    try:
        return np.asarray(x)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be an array. Received: a list whose rows have different lengths. Pad "
            "them to one length."
        ) from error


def _num_rows(x: Structure) -> int:
    counts: dict[str, int] = {}
    for path, leaf in keras.tree.flatten_with_path(x):
        name = path_name(path) or "x"
        shape = tuple(getattr(leaf, "shape", ()))
        if not shape:
            raise ValueError(f"`{name}` must have a row for each item. Received: {leaf!r}.")
        counts[name] = shape[0]
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"`{name}` has {count} rows" for name, count in counts.items())
        raise ValueError(
            f"All inputs must have the same number of rows. Received: {listed}."
            " If an image has several captions, repeat it for each of them, "
            "`images[image_ids]`, and pass `y=image_ids`."
        )
    count = next(iter(counts.values()), 0)
    if count == 0:
        raise ValueError("`x` must have rows. Received: no rows.")
    return count


def _check_count(name: str, what: str, found: int, rows: int) -> None:
    if found != rows:
        raise ValueError(
            f"`{name}` must have one {what} for each row of `x`. "
            f"Received: {found} {what}s, {rows} rows."
        )


def _kind(batch: Any) -> str:
    if isinstance(batch, (tuple, list)):
        kinds = ", ".join(type(part).__name__ for part in batch)
        return f"a {type(batch).__name__} of {len(batch)} ({kinds})"
    return f"a {type(batch).__name__}"
