"""Checks of the arguments of a trainer."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras

from keras_contrastive import _checks
from keras_contrastive._typing import Structure
from keras_contrastive.layers import DeepFeatureSeparation, MomentumTeacher
from keras_contrastive.losses import ContrastiveLoss
from keras_contrastive.trainers._names import loss_from_name, metric_from_name
from keras_contrastive.trainers._second_views import RESERVED_SUFFIXES


def check_inputs(inputs: Any, names: Sequence[str]) -> None:
    """Raises unless `inputs` is a dict with these names."""
    if not isinstance(inputs, dict):
        raise TypeError(
            f"`x` must be a dict with the modalities {', '.join(names)}, like `encoders`. "
            f"Received: {type(inputs).__name__}."
        )
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ValueError(
            f"`x` must have the inputs {', '.join(names)}. "
            f"Received: {', '.join(map(str, inputs))}. Add {', '.join(missing)}."
        )


def check_some_inputs(
    inputs: Any, names: Sequence[str], others: Collection[str] | None = None
) -> None:
    """Raises unless `inputs` is a dict with at least one of these names.

    Args:
        inputs: The value to check.
        names: Names of modalities.
        others: `None`, or the other names that `inputs` may have if a modality is missing. Further
            ones raise, since they may be misspelled.
    """
    if not isinstance(inputs, dict) or set(names) <= set(inputs):
        check_inputs(inputs, names)
        return
    is_unknown = others is not None and not set(inputs) <= {*names, *others}
    if is_unknown or not any(name in inputs for name in names):
        raise ValueError(
            f"`x` must have the inputs {', '.join(names)}, or some of them and no others. "
            f"Received: {', '.join(map(str, inputs)) or 'none'}."
        )


def check_numbers(x: Structure) -> None:
    """Raises if inputs are sparse matrices, or strings. Some layers of TensorFlow take strings."""
    for path, leaf in keras.tree.flatten_with_path(x):
        if type(leaf).__module__.startswith("scipy.sparse"):
            raise TypeError(
                f"`{path_name(path) or 'x'}` must be a dense array. Received: a sparse matrix. "
                "Pass `x.toarray()`, or a `keras.utils.PyDataset` that makes dense batches."
            )
    if keras.backend.backend() == "tensorflow":
        return
    for path, leaf in keras.tree.flatten_with_path(x):
        dtype = getattr(leaf, "dtype", None)
        is_numpy_text = getattr(dtype, "kind", None) in ("U", "S", "O")
        if is_numpy_text or getattr(dtype, "name", None) == "string":
            raise TypeError(
                f"`{path_name(path) or 'x'}` must hold numbers. Received: strings or objects. Make "
                "token ids of a text first, for example with `keras.layers.TextVectorization` in "
                "`tf.data`. Leave other strings out of `x`."
            )


def path_name(path: tuple[Any, ...]) -> str:
    """Returns the name of a leaf of a structure, with the places inside of it."""
    if not path:
        return ""
    return str(path[0]) + "".join(f"[{part!r}]" for part in path[1:])


def as_loss(loss: Any) -> ContrastiveLoss:
    """Returns the loss of `compile`. Raises unless it is reduced to a number.

    Args:
        loss: A contrastive loss, or the name of one.
    """
    if isinstance(loss, str):
        return loss_from_name(loss)
    if not isinstance(loss, ContrastiveLoss):
        raise TypeError(
            "`loss` must be a contrastive loss, such as `keras_contrastive.losses.InfoNCE()`. "
            f"Received: loss={loss!r}. Other Keras losses compare one output with its target."
        )
    if loss.reduction in (None, "none"):
        raise ValueError(
            "`loss` must have a reduction, since a training step needs one number. "
            f"Received: reduction={loss.reduction!r}, loss={loss!r}. Leave out `reduction` for the "
            'mean over the anchors, or pass `reduction="sum"`.'
        )
    return loss


def check_loss_weights(loss_weights: Any) -> None:
    """Raises unless there are no `loss_weights`."""
    if loss_weights is not None:
        raise ValueError(
            "`loss_weights` must be `None`, since there is one loss. "
            f"Received: loss_weights={loss_weights!r}. Regularizers and losses of "
            "`keras_contrastive.fusion` have a `weight` of their own."
        )


def as_metrics(argument: str, metrics: Any) -> list[keras.metrics.Metric]:
    """Returns the metrics of `compile` as a list. Raises a `TypeError` unless they compare views.

    Args:
        argument: Name of the argument, for the message.
        metrics: The value of the argument: metrics, or their names.
    """
    if metrics is not None and not isinstance(metrics, (list, tuple)):
        raise TypeError(
            f"`{argument}` must be a list of metrics, since each gets all views at once. "
            f"Received: {argument}={metrics!r}."
        )
    metrics = [
        metric_from_name(argument, metric) if isinstance(metric, str) else metric
        for metric in metrics or ()
    ]
    for metric in metrics:
        if not _compares_views(metric):
            raise TypeError(
                f"`{argument}` must contain metrics that compare views, such as "
                f"`keras_contrastive.metrics.RecallAtK()`. Received: {metric!r}. A metric gets ids "
                "`(batch,)` and views `(batch, views, dim)`. Metrics of Keras compare predictions "
                "with targets, which a contrastive model does not have."
            )
    return metrics


def _compares_views(metric: Any) -> bool:
    if not isinstance(metric, keras.metrics.Metric):
        return False
    # A function of the user may compare views. Keras wraps its own ones in the same class.
    own = metric._fn if type(metric) is keras.metrics.MeanMetricWrapper else type(metric)
    return getattr(own, "__module__", "").partition(".")[0] != "keras"


def check_unique_names(metrics: Sequence[Any], loss_means: Collection[Any]) -> None:
    """Raises if two metrics share a name."""
    names = ["loss", *(metric.name for metric in [*metrics, *loss_means])]
    if len(set(names)) < len(names):
        raise ValueError(
            "Names of metrics and regularizers must be unique. "
            f"Received: {', '.join(names)}. Pass `name=...`."
        )


def check_parts(
    encoders: Any, augmenters: Any, projectors: Any, regularizers: Sequence[Any]
) -> None:
    """Raises if a part is not a layer, or if the parts do not fit together."""
    for name, part in (
        ("encoders", encoders),
        ("augmenters", augmenters),
        ("projectors", projectors),
    ):
        for layer in part.values() if isinstance(part, dict) else [part]:
            is_layer = isinstance(layer, keras.layers.Layer)
            if not is_layer and (layer is not None or name == "encoders"):
                raise TypeError(
                    f"`{name}` must be a Keras layer or model, or a dict of them by modality. "
                    f"Received: {name}={part!r}."
                )
    if isinstance(encoders, dict):
        _check_towers(encoders, augmenters, projectors)
    else:
        _check_one_encoder(augmenters, projectors)
    _check_regularizers(regularizers)


def _check_one_encoder(augmenters: Any, projectors: Any) -> None:
    for name, part in (("augmenters", augmenters), ("projectors", projectors)):
        if isinstance(part, dict):
            raise TypeError(
                f"`{name}` must be a layer if there is one encoder. Received: {name}={part!r}. "
                "For parts by modality, pass a dict of encoders as well."
            )
    if augmenters is None:
        raise ValueError(
            "`augmenters` must be a layer that makes random views if there is one encoder. "
            "Received: augmenters=None. If the dropout of the encoder is enough noise, pass "
            "`augmenters=keras.layers.Identity()`."
        )


def _check_towers(encoders: dict[str, Any], augmenters: Any, projectors: Any) -> None:
    if not encoders:
        raise ValueError("`encoders` must have at least one modality. Received: encoders={}.")
    reserved = [name for name in encoders if str(name).endswith(RESERVED_SUFFIXES)]
    if reserved:
        raise ValueError(
            f"Names of modalities must not end in {' or '.join(map(repr, RESERVED_SUFFIXES))}, "
            f"which mark views of a modality. Received: {', '.join(reserved)}."
        )
    if augmenters is not None and not isinstance(augmenters, dict):
        raise TypeError(
            "`augmenters` must be a dict by modality, like `encoders`. "
            f"Received: augmenters={augmenters!r}."
        )
    for name, part in (("augmenters", augmenters), ("projectors", projectors)):
        if isinstance(part, dict):
            _checks.known_names(name, part, encoders, "only modalities of `encoders`")


def _check_regularizers(regularizers: Sequence[Any]) -> None:
    for regularizer in regularizers:
        is_layer = isinstance(regularizer, keras.layers.Layer)
        if not is_layer or not callable(getattr(regularizer, "penalty", None)):
            raise TypeError(
                "`regularizers` must be Keras layers with a method `penalty(views)` that returns a "
                f"scalar. Received: {regularizer!r}."
            )
    if sum(isinstance(regularizer, DeepFeatureSeparation) for regularizer in regularizers) > 1:
        raise ValueError(
            "`regularizers` must have at most one `DeepFeatureSeparation`, since its features have "
            f"fixed names. Received: {', '.join(r.name for r in regularizers)}."
        )


def check_in_modal_weight(weight: Any, modalities: Collection[str]) -> None:
    """Raises unless `weight` is a fraction, or a dict of fractions with a sum of at most 1.

    Args:
        weight: The value to check.
        modalities: The modalities that have a second view.
    """
    if isinstance(weight, Mapping):
        _checks.known_names(
            "in_modal_weight", weight, modalities, "only modalities that have a second view"
        )
    fractions = list(weight.values()) if isinstance(weight, Mapping) else [weight]
    message = (
        "`in_modal_weight` must be a number in [0, 1], or a dict of them by modality with a sum of "
        f"at most 1. Received: in_modal_weight={weight!r}."
    )
    if not all(_checks.is_number(x) for x in fractions):
        raise TypeError(message)
    if not all(0 <= x <= 1 for x in fractions) or sum(fractions) > 1 + 1e-6:
        raise ValueError(message)


def check_teacher(teacher: Any, others: Mapping[str, Any]) -> None:
    """Raises unless `teacher` is `None` or a teacher that fits the other arguments of the trainer.

    Args:
        teacher: The value to check.
        others: Arguments that must be empty if there is a teacher, by name.
    """
    if teacher is None:
        return
    if not isinstance(teacher, MomentumTeacher):
        raise TypeError(
            "`teacher` must be `None` or a `keras_contrastive.layers.MomentumTeacher`. "
            f"Received: teacher={teacher!r}."
        )
    for name, value in others.items():
        if value:
            raise ValueError(
                f"`{name}` must be empty if there is a `teacher`, whose embeddings are the second "
                f"views and the candidates. Received: {name}={value!r}."
            )
