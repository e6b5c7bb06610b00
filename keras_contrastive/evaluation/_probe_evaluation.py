"""Base class of evaluation callbacks that fit a classifier on features."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np

from keras_contrastive._typing import ArrayLike, Structure
from keras_contrastive.evaluation._callbacks import CorpusEvaluation
from keras_contrastive.evaluation._inputs import (
    check_same_dim,
    checked_integers,
    first_rows,
    rows_of,
)


class ProbeEvaluation(CorpusEvaluation):
    """Probes the features of one tower in epochs.

    A subclass sets `name`, which starts the names of the measures, and `function`, such as
    `knn_probe`. If `function` reports NaN for NaN features after it has checked its arguments, set
    `reports_nan`: the constructor then checks labels and settings with it. The progress bar shows
    its first measure.

    Args:
        x: Inputs of the tower with known labels, as arrays.
        labels: Int array `(rows,)`, the labels of `x`.
        new_x: Inputs of the tower to classify, as arrays.
        new_labels: Int array `(new_rows,)`, the true labels of `new_x`.
        modality: The name of the tower, or `None` for a trainer with one encoder.
        projected: Whether to probe the features after the projector. By default, those of the
            encoder.
        batch_size: See `CorpusEvaluation`.
        freq: See `CorpusEvaluation`.
        prefix: See `CorpusEvaluation`.
        embed: See `CorpusEvaluation`. It gets `x` and `new_x` as they are.
        **settings: Further arguments of `function`.

    Raises:
        TypeError, ValueError: If an argument is invalid. If the model has no such tower, raises
            when `fit` starts.
    """

    name: ClassVar[str] = ""
    function: ClassVar[Callable[..., dict[str, float]]]
    reports_nan: ClassVar[bool] = False

    def __init__(
        self,
        x: Structure,
        labels: ArrayLike,
        new_x: Structure,
        new_labels: ArrayLike,
        modality: str | None = None,
        projected: bool = False,
        batch_size: int = 256,
        freq: int = 1,
        prefix: str = "val_",
        embed: Callable[[keras.Model, Structure], Structure] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(freq=freq, prefix=prefix, batch_size=batch_size, embed=embed)
        if modality is not None and not isinstance(modality, str):
            raise TypeError(
                f"`modality` must be `None` or a string. Received: modality={modality!r}."
            )
        if not isinstance(projected, (bool, np.bool_)):
            raise TypeError(f"`projected` must be a bool. Received: projected={projected!r}.")
        known = list(inspect.signature(self.function).parameters)[4:]
        unknown = [name for name in settings if name not in known]
        if unknown:
            raise TypeError(
                f"`settings` must be arguments of `{self.name}_probe`: {', '.join(known)}. "
                f"Received: {', '.join(unknown)}."
            )
        rows = rows_of(x, "x") if embed is None else None
        new_rows = rows_of(new_x, "new_x") if embed is None else None
        labels = checked_integers(labels, rows, ("x", "labels"))
        new_labels = checked_integers(new_labels, new_rows, ("new_x", "new_labels"))
        self._measure_names: list[str] | None = None
        if self.reports_nan:
            features, new_features = (
                np.full((len(rows), 1), np.nan) for rows in (labels, new_labels)
            )
            nans = self.function(features, labels, new_features, new_labels, **settings)
            self._measure_names = [f"{self.name}_{name}" for name in nans]
        self.data = (x, labels, new_x, new_labels)
        self.modality = modality
        self.projected = projected
        self.settings = settings

    def measures(self) -> dict[str, float]:
        x, labels, new_x, new_labels = self.data
        features, new_features = (
            self.embeddings(inputs, self.modality, self.projected) for inputs in (x, new_x)
        )
        results = self.function(features, labels, new_features, new_labels, **self.settings)
        return {f"{self.name}_{name}": value for name, value in results.items()}

    def dry_run(self) -> list[str]:
        if self.embed is not None or self._measure_names is None:
            return super().dry_run()
        x, _, new_x, _ = self.data
        features, new_features = (
            self.embeddings(first_rows(inputs, self.batch_size), self.modality, self.projected)
            for inputs in (x, new_x)
        )
        check_same_dim(features, new_features, ("x", "new_x"))
        return self._measure_names

    def is_main(self, name: str) -> bool:
        first = (self._measure_names or [name])[0].removeprefix(f"{self.name}_")
        return name.endswith(first.rpartition("_shot_")[2])
