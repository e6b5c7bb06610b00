"""Base class of evaluation callbacks."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._typing import Structure
from keras_contrastive.evaluation._monitors import skip_nan


class CorpusEvaluation(keras.callbacks.Callback):
    """Evaluates a model in epochs and adds the measures to the `logs` of their ends.

    The measures appear in `History` and in later callbacks. A subclass implements `measures`, which
    may call `embeddings`. It can list measures in `higher_is_better` and `lower_is_better`, which
    tells other callbacks what an improvement is.

    The evaluated weights are those of the validation. It evaluates when the validation of the epoch
    starts, when callbacks such as `keras.callbacks.SwapEMAWeights` have replaced the weights.
    Without a validation, it evaluates at the end of the epoch.

    When `fit` starts, `dry_run` checks the evaluation, so errors are raised before training. An
    error in a later epoch does not end `fit`: it is a warning, once, and the measures are NaN.
    `evaluate` raises it.

    Each measure is in the `logs` of each epoch, and is NaN in epochs without an evaluation.

    In `fit` of a `ContrastiveTrainer`:

    * The order of the callbacks does not matter: evaluations run first.
    * Callbacks with the mode `"auto"` that monitor a measure get its mode.
    * Callbacks that monitor a measure skip epochs in which it is NaN. Such an epoch is never an
      improvement and does not count for `patience`.
    * The progress bar shows the main measures only. `logs` has all.

    In `fit` of another model, list evaluations before the callbacks that read their measures, such
    as `EarlyStopping` and `CSVLogger`. Call `evaluation.set_callbacks(callbacks)` before `fit`, so
    that those that monitor a measure get its mode and skip NaN.

    Args:
        freq: Positive integer. Evaluates at the end of each `freq`-th epoch.
        prefix: Prefix of the names of the measures.
        batch_size: Batch size when inputs are embedded.
        embed: `None`, or a function of the model and inputs that returns their embeddings, for
            models that are not a `ContrastiveTrainer`. For one array of inputs it returns an array
            `(rows, dim)`; for a dict of inputs by modality, a dict of such arrays.

    Raises:
        TypeError, ValueError: If an argument is invalid.

    Example:

    >>> class MeanLength(CorpusEvaluation):
    ...     def __init__(self, x, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.x = x
    ...
    ...     def measures(self):
    ...         return {"length": float(np.linalg.norm(self.embeddings(self.x), axis=1).mean())}
    >>> evaluation = MeanLength(np.eye(2), embed=lambda model, x: 3 * x)
    >>> evaluation.evaluate()
    {'val_length': 3.0}
    """

    higher_is_better: ClassVar[tuple[str, ...]] = ()
    lower_is_better: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        freq: int = 1,
        prefix: str = "val_",
        batch_size: int = 256,
        embed: Callable[[keras.Model, Structure], Structure] | None = None,
    ) -> None:
        super().__init__()
        if embed is not None and not callable(embed):
            raise TypeError(
                "`embed` must be `None` or a function of the model and inputs. "
                f"Received: embed={embed!r}."
            )
        if not isinstance(prefix, str):
            raise TypeError(f"`prefix` must be a string. Received: prefix={prefix!r}.")
        self.freq = _checks.positive_int("freq", freq)
        self.prefix = prefix
        self.batch_size = _checks.positive_int("batch_size", batch_size)
        self.embed = embed
        self._embedders: dict[tuple[str | None, bool], keras.Model] = {}
        self._embedded_model: keras.Model | None = None
        self._callbacks: Sequence[keras.callbacks.Callback] = ()
        self._names: list[str] = []
        self._is_due = False
        self._was_evaluated = False
        self._measured: dict[str, float] | None = None
        self._has_warned = False

    def measures(self) -> dict[str, float]:
        """Returns the measures by name, without the prefix."""
        raise NotImplementedError

    def evaluate(self) -> dict[str, float]:
        """Returns the measures of the current model, with the prefix."""
        return {f"{self.prefix}{name}": value for name, value in self.measures().items()}

    def dry_run(self) -> list[str]:
        """Returns the names of the measures, without the prefix. Raises if it cannot evaluate.

        It runs when `fit` starts. By default, it evaluates. A subclass can list the names and embed
        one batch instead.
        """
        return list(self.measures())

    def is_main(self, name: str) -> bool:
        """Returns whether the progress bar shows a measure. By default, it shows all.

        Args:
            name: The name of a measure, without the prefix.
        """
        return True

    def hidden_names(self) -> set[str]:
        """Returns the names in `logs` that the progress bar of a `ContrastiveTrainer` leaves out.

        These are measures that are not main, and all measures in epochs without an evaluation.
        """
        return {
            f"{self.prefix}{name}"
            for name in self._names
            if not (self._was_evaluated and self.is_main(name))
        }

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        if model is not self._embedded_model:
            self._embedders, self._embedded_model = {}, model

    def set_callbacks(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Prepares for a `fit` with these callbacks. `ContrastiveTrainer.fit` calls it.

        Callbacks that monitor a measure of this evaluation with the mode `"auto"` get its mode.
        When `fit` starts, those that monitor one skip epochs in which it is NaN.

        Args:
            callbacks: All callbacks of `fit`.
        """
        self._callbacks = list(callbacks)
        for callback in callbacks:
            monitor = getattr(callback, "monitor", None)
            if isinstance(monitor, str) and getattr(callback, "mode", None) == "auto":
                callback.mode = self.mode_of(monitor) or "auto"

    def mode_of(self, monitor: str) -> Literal["max", "min"] | None:
        """Returns `"max"` if more of a measure is better, `"min"` if less is, or `None`.

        Args:
            monitor: The name of a measure in `logs`.
        """
        if not monitor.startswith(self.prefix) or monitor.endswith("_error"):
            return None
        if any(name in monitor for name in self.lower_is_better):
            return "min"
        return "max" if any(name in monitor for name in self.higher_is_better) else None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._names, self._has_warned = self.dry_run(), False
        for callback in self._callbacks:
            if getattr(callback, "monitor", None) in {
                f"{self.prefix}{name}" for name in self._names
            }:
                skip_nan(callback)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._is_due, self._measured = (epoch + 1) % self.freq == 0, None

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # Callbacks swap weights when a test begins and when it ends, in any order. In between, the
        # weights are those of the validation. On JAX, later batches have no weights in the model.
        if self._is_due and self._measured is None:
            self._measured = self._evaluate_or_warn()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._was_evaluated = (epoch + 1) % self.freq == 0
        if self._was_evaluated and self._measured is None:
            self._measured = self._evaluate_averages()
        if logs is not None:
            logs.update({f"{self.prefix}{name}": math.nan for name in self._names})
            logs.update(self._measured or {})
        self._is_due, self._measured = False, None

    def _evaluate_averages(self) -> dict[str, float]:
        """Evaluates the weights that a validation would use."""
        averages = [c for c in self._callbacks if isinstance(c, keras.callbacks.SwapEMAWeights)]
        for average in averages:
            average.on_test_begin()
        measures = self._evaluate_or_warn()
        for average in averages:
            average.on_test_end()
        return measures

    def _evaluate_or_warn(self) -> dict[str, float]:
        """Returns the measures, or none after an error, of which it warns once in a `fit`."""
        try:
            return self.evaluate()
        except Exception as error:
            if not self._has_warned:
                self._has_warned = True
                warnings.warn(
                    f"`{type(self).__name__}` could not evaluate, so its measures are NaN. "
                    f"{type(error).__name__}: {error} Call its `evaluate()` for the traceback.",
                    stacklevel=2,
                )
            return {}

    def embeddings(
        self, x: Structure, modality: str | None = None, projected: bool = True
    ) -> Structure:
        """Embeds inputs with `embed`, or with an embedder of a `ContrastiveTrainer`.

        Args:
            x: Inputs of the tower, as arrays.
            modality: See `ContrastiveTrainer.embedder`.
            projected: See `ContrastiveTrainer.embedder`.

        Returns:
            An array `(rows, dim)`, or what `embed` returns, as arrays.
        """
        if self.embed is not None:
            return keras.tree.map_structure(ops.convert_to_numpy, self.embed(self.model, x))
        if not hasattr(self.model, "embedder"):
            raise TypeError(
                f"`{type(self).__name__}` evaluates a `ContrastiveTrainer`. "
                f"Received: `{type(self.model).__name__}`, which has no `embedder`. "
                "Pass `embed` for another model."
            )
        key = modality, projected
        if key not in self._embedders:
            self._embedders[key] = self.model.embedder(modality, projected, normalize=False)
        return self._embedders[key].predict(x, batch_size=self.batch_size, verbose=0)
