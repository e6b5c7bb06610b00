"""Base classes of evaluation callbacks."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._typing import ArrayLike, Layer, Structure, Tensor


class CorpusEvaluation(keras.callbacks.Callback):
    """Evaluates a model at the end of epochs and adds the measures to `logs`.

    The measures appear in the progress bar, in `History` and in later callbacks. A subclass
    implements `measures`, which may call `embeddings`.

    Args:
        every: Positive integer. Evaluates at the end of each `every`-th epoch.
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

    def __init__(
        self,
        *,
        every: int = 1,
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
        self.every = _checks.positive_int("every", every)
        self.prefix = prefix
        self.batch_size = _checks.positive_int("batch_size", batch_size)
        self.embed = embed
        self._towers: dict[tuple[str | None, bool], _Tower] = {}
        self._model_of_towers: keras.Model | None = None

    def measures(self) -> dict[str, float]:
        """Returns the measures by name, without the prefix."""
        raise NotImplementedError

    def evaluate(self) -> dict[str, float]:
        """Returns the measures of the current model, with the prefix."""
        return {f"{self.prefix}{name}": value for name, value in self.measures().items()}

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        if model is not self._model_of_towers:
            self._towers, self._model_of_towers = {}, model

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if (epoch + 1) % self.every == 0 and logs is not None:
            logs.update(self.evaluate())

    def embeddings(
        self, x: Structure, modality: str | None = None, projected: bool = True
    ) -> Structure:
        """Embeds inputs with `embed`, or with one tower of a `ContrastiveTrainer`.

        Args:
            x: Inputs of the tower, as arrays.
            modality: The name of the tower, or `None` for a trainer with one encoder.
            projected: Whether to apply the projector, if there is one.

        Returns:
            An array `(rows, dim)`, or what `embed` returns, as arrays.
        """
        if self.embed is not None:
            return keras.tree.map_structure(ops.convert_to_numpy, self.embed(self.model, x))
        key = modality, projected
        if key not in self._towers:
            self._towers[key] = _Tower(self._layers(modality, projected))
        return self._towers[key].predict(x, batch_size=self.batch_size, verbose=0)

    def _layers(self, modality: str | None, projected: bool) -> list[Layer]:
        encoders = getattr(self.model, "encoders", None)
        if encoders is None:
            raise TypeError(
                f"`{type(self).__name__}` evaluates a `ContrastiveTrainer`. "
                f"Received: `{type(self.model).__name__}`, which has no `encoders`. "
                "Pass `embed` for another model."
            )
        has_one_encoder = not isinstance(encoders, dict)
        if modality not in ([None] if has_one_encoder else encoders):
            expected = (
                "`None`, because the trainer has one encoder"
                if has_one_encoder
                else f"one of {', '.join(encoders)}"
            )
            raise ValueError(f"The modality must be {expected}. Received: {modality!r}.")
        parts = [encoders, self.model.projectors] if projected else [encoders]
        layers = [part.get(modality) if isinstance(part, dict) else part for part in parts]
        return [layer for layer in layers if layer is not None]


class ProbeEvaluation(CorpusEvaluation):
    """Probes the features of one tower at the end of epochs.

    A subclass sets `name`, which starts the names of the measures, and `function`, such as
    `knn_probe`.

    Args:
        x: Inputs of the tower with known labels, as arrays.
        labels: Int array `(rows,)`, the labels of `x`.
        new_x: Inputs of the tower to classify, as arrays.
        new_labels: Int array `(new_rows,)`, the true labels of `new_x`.
        modality: The name of the tower, or `None` for a trainer with one encoder.
        projected: Whether to probe the features after the projector. By default, those of the
            encoder.
        batch_size: See `CorpusEvaluation`.
        every: See `CorpusEvaluation`.
        prefix: See `CorpusEvaluation`.
        embed: See `CorpusEvaluation`. It gets `x` and `new_x` as they are.
        **settings: Further arguments of `function`.

    Raises:
        TypeError, ValueError: If an argument is invalid. If the model has no such tower, raises
            when it evaluates.
    """

    name: ClassVar[str] = ""
    function: ClassVar[Callable[..., dict[str, float]]]

    def __init__(
        self,
        x: Structure,
        labels: ArrayLike,
        new_x: Structure,
        new_labels: ArrayLike,
        modality: str | None = None,
        projected: bool = False,
        batch_size: int = 256,
        every: int = 1,
        prefix: str = "val_",
        embed: Callable[[keras.Model, Structure], Structure] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(every=every, prefix=prefix, batch_size=batch_size, embed=embed)
        known = list(inspect.signature(self.function).parameters)[4:]
        unknown = [name for name in settings if name not in known]
        if unknown:
            raise TypeError(
                f"`settings` must be arguments of `{self.name}_probe`: {', '.join(known)}. "
                f"Received: {', '.join(unknown)}."
            )
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


class _Tower(keras.Model):
    """Applies an encoder and a projector in inference. It shares their weights."""

    def __init__(self, parts: list[Layer]) -> None:
        super().__init__(name="tower")
        self.parts = parts

    def call(self, x: Structure, training: bool | None = None) -> Tensor:
        for part in self.parts:
            x = part(x, training=False)
        return x
