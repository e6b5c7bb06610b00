"""Base class of evaluation callbacks that fit a classifier on features."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array, ArrayLike, Structure
from keras_contrastive.evaluation._callbacks import CorpusEvaluation
from keras_contrastive.evaluation._data_sets import checked_labels, labeled_embeddings
from keras_contrastive.evaluation._inputs import (
    check_same_dim,
    first_rows,
)


class ProbeEvaluation(CorpusEvaluation):
    """Probes the features of one tower in epochs.

    A subclass sets `name`, which starts the names of the measures, and `function`, such as
    `knn_probe`. If `function` reports NaN for NaN features after it has checked its arguments, set
    `reports_nan`: the constructor then checks labels and settings with it. The progress bar shows
    its first measure.

    Args:
        x_train: Inputs of the tower with known labels: arrays, or a data set with batches
            `(x, labels)` as for `fit`, such as a `tf.data.Dataset`, `PyDataset` or `DataLoader`.
        y_train: Int array `(rows,)`, the labels of `x_train`. `None` for a data set.
        x_test: Inputs of the tower to classify, as `x_train`. `None` stands for `x_train`, if
            `function` can leave each row out of its own neighbors.
        y_test: Int array `(test_rows,)`, the true labels of `x_test`. `None` for a data set.
        modality: The name of the tower, or `None` for a trainer with one encoder.
        projected: Whether to probe the features after the projector. By default, those of the
            encoder.
        batch_size: See `CorpusEvaluation`. A data set has its own.
        freq: See `CorpusEvaluation`.
        prefix: See `CorpusEvaluation`.
        embed: See `CorpusEvaluation`. It gets `x_train` and `x_test` as they are, or the inputs of
            one batch of a data set.
        **settings: Further arguments of `function`.

    Raises:
        TypeError, ValueError: If an argument is invalid. If it depends on the model or on a data
            set, raises when `fit` starts.
    """

    name: ClassVar[str] = ""
    function: ClassVar[Callable[..., dict[str, float]]]
    reports_nan: ClassVar[bool] = False

    def __init__(
        self,
        x_train: Structure,
        y_train: ArrayLike | None = None,
        x_test: Structure | None = None,
        y_test: ArrayLike | None = None,
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
        self.modality = modality
        self.projected = _checks.boolean("projected", projected)
        self.settings = settings
        options = list(inspect.signature(self.function).parameters)[4:]
        unknown = [name for name in settings if name not in options]
        if unknown:
            raise TypeError(
                f"`settings` must be arguments of `{self.name}_probe`: {', '.join(options)}. "
                f"Received: {', '.join(unknown)}."
            )
        if x_test is None and y_test is None and "exclude_self" not in options:
            raise TypeError("`x_test` must be the inputs to classify. Received: x_test=None.")
        check = functools.partial(checked_labels, takes_arrays=embed is None)
        self.train = x_train, check(x_train, y_train, ("x_train", "y_train"))
        self.test = None
        if x_test is not None or y_test is not None:
            self.test = x_test, check(x_test, y_test, ("x_test", "y_test"))
        self._measure_names: list[str] | None = None
        parts = [self.train] if self.test is None else [self.train, self.test]
        known = [labels for _, labels in parts if labels is not None]
        if self.reports_nan and len(known) == len(parts):
            nans = [(np.full((len(labels), 1), np.nan), labels) for labels in known]
            self._measure_names = list(self._probe(*nans))

    def measures(self) -> dict[str, float]:
        parts = [self._features("train", *self.train)]
        if self.test is not None:
            parts.append(self._features("test", *self.test))
        return self._probe(*parts)

    def dry_run(self) -> list[str]:
        if self.embed is not None or self._measure_names is None:
            self._measure_names = super().dry_run()
            return self._measure_names
        train, test = (
            self.embeddings(first_rows(x, self.batch_size), self.modality, self.projected)
            for x, _ in (self.train, self.test or self.train)
        )
        check_same_dim(train, test, ("x_train", "x_test"))
        return self._measure_names

    def is_main(self, name: str) -> bool:
        first = (self._measure_names or [name])[0].removeprefix(f"{self.name}_")
        return name.endswith(first.rpartition("_shot_")[2])

    def _features(self, part: str, x: Structure, labels: Array | None) -> tuple[ArrayLike, Array]:
        return labeled_embeddings(
            lambda inputs: self.embeddings(inputs, self.modality, self.projected),
            x,
            labels,
            f"x_{part}",
        )

    def _probe(self, *parts: tuple[ArrayLike, ArrayLike | None]) -> dict[str, float]:
        results = self.function(*(array for part in parts for array in part), **self.settings)
        return {f"{self.name}_{name}": value for name, value in results.items()}
