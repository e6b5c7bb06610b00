"""What a trainer refuses, and why."""

import keras

from keras_contrastive.layers import DeepFeatureSeparation
from keras_contrastive.layers._view_regularizer import AUGMENTED, INDEPENDENT


def check_modalities(inputs, names):
    """Inputs that are not a dict with these names."""
    if not isinstance(inputs, dict):
        raise TypeError(
            f"`x` must be a dict with the modalities {', '.join(names)}, as the encoders are. "
            f"Received: {type(inputs).__name__}."
        )
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ValueError(
            f"`x` lacks {', '.join(missing)}. Expected the modalities {', '.join(names)}. "
            f"Received: {', '.join(map(str, inputs))}."
        )


def check_metrics(metrics, penalties):
    """What is no metric, and names that are not unique."""
    for metric in metrics:
        if not isinstance(metric, keras.metrics.Metric):
            raise TypeError(
                "`metrics` and `weighted_metrics` must be metrics that compare views, such as "
                f"`keras_contrastive.metrics.RecallAtK()`. Received: {metric!r}."
            )
    names = ["loss", *(metric.name for metric in metrics + penalties)]
    if len(set(names)) < len(names):
        raise ValueError(
            f"Each metric and each regularizer needs a name of its own. Received the names {names}."
        )


def check_parts(encoders, augmenters, projectors, regularizers):
    """Parts that are no layers, or do not fit together."""
    parts = {"encoders": encoders, "augmenters": augmenters, "projectors": projectors}
    for part, layers in parts.items():
        for layer in layers.values() if isinstance(layers, dict) else [layers]:
            if not isinstance(layer, keras.layers.Layer) and (
                layer is not None or part == "encoders"
            ):
                raise TypeError(
                    f"`{part}` must be a Keras layer or model, or a dict of them by modality. "
                    f"Received: {part}={layers!r}."
                )
    if isinstance(encoders, dict):
        _check_towers(encoders, augmenters, projectors)
    else:
        if isinstance(augmenters, dict) or isinstance(projectors, dict):
            raise TypeError(
                "With one encoder, `augmenters` and `projectors` are layers, not dicts by modality."
            )
        if augmenters is None:
            raise ValueError(
                "One encoder needs `augmenters`, a layer that makes two different views of each input. If the "
                "encoder's own dropout is noise enough, pass `augmenters=keras.layers.Identity()`. "
                "Received: augmenters=None."
            )
    if sum(isinstance(regularizer, DeepFeatureSeparation) for regularizer in regularizers) > 1:
        raise ValueError(
            "`regularizers` can have one `DeepFeatureSeparation`: its features come out by name."
        )
    for regularizer in regularizers:
        if not isinstance(regularizer, keras.layers.Layer) or not callable(
            getattr(regularizer, "penalty", None)
        ):
            raise TypeError(
                "`regularizers` must be Keras layers with a method `penalty(views)` that returns a scalar. "
                f"Received: {regularizer!r}."
            )


def _check_towers(encoders, augmenters, projectors):
    if not encoders:
        raise ValueError("`encoders` must have at least one modality. Received: encoders={}.")
    reserved = [name for name in encoders if str(name).endswith((AUGMENTED, INDEPENDENT))]
    if reserved:
        raise ValueError(
            f"The names of modalities must not end in {AUGMENTED!r} or {INDEPENDENT!r}, which name views of them. "
            f"Received: {', '.join(reserved)}."
        )
    for part, layers in (("augmenters", augmenters), ("projectors", projectors)):
        if isinstance(layers, dict):
            unknown = [name for name in layers if name not in encoders]
            if unknown:
                raise ValueError(
                    f"`{part}` has modalities that `encoders` has not: {', '.join(unknown)}. "
                    f"Expected some of {', '.join(encoders)}."
                )
    if augmenters is not None and not isinstance(augmenters, dict):
        raise TypeError(
            "With a dict of encoders, `augmenters` must be a dict by modality as well. "
            f"Received: augmenters={augmenters!r}."
        )


def check_in_modal_weight(weight, augmented):
    """What is no share, or belongs to a modality that is not augmented."""
    if isinstance(weight, dict):
        unknown = [name for name in weight if name not in augmented]
        if unknown:
            raise ValueError(
                f"`in_modal_weight` has modalities without an augmenter: {', '.join(map(str, unknown))}. "
                f"Expected some of {', '.join(augmented) or 'none'}."
            )
    shares = list(weight.values()) if isinstance(weight, dict) else [weight]
    if (
        any(
            isinstance(x, bool) or not isinstance(x, (int, float)) or not 0 <= x <= 1
            for x in shares
        )
        or sum(shares) > 1 + 1e-6
    ):
        raise ValueError(
            "`in_modal_weight` must be in [0, 1], or a dict of weights by modality that sum to at most 1. "
            f"Received: in_modal_weight={weight!r}."
        )


def check_micro_batch_size(size):
    """What is neither `None` nor a positive integer."""
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ValueError(
            "`micro_batch_size` must be `None` or a positive integer, how many rows an encoder sees at a time. "
            f"Received: micro_batch_size={size!r}."
        )


def check_further_inputs(argument, inputs, encoders):
    """Further inputs that belong to no modality, or whose name is taken."""
    if not inputs:
        return
    names = list(encoders) if isinstance(encoders, dict) else []
    if not isinstance(inputs, dict) or not set(inputs.values()) <= set(names):
        expected = f"some of {', '.join(names)}" if names else "which needs a dict of encoders"
        raise ValueError(
            f"`{argument}` must be a dict from names of inputs to the modalities that they belong to, "
            f"{expected}. Received: {argument}={inputs!r}."
        )
    taken = [name for name in inputs if name in names]
    if taken:
        raise ValueError(f"`{argument}` has names that are modalities already: {', '.join(taken)}.")
