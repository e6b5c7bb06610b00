"""Guides: frozen encoders that decide which negatives an anchor ignores."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_contrastive._engine import zero_where_missing
from keras_contrastive._keras import inner_layers
from keras_contrastive._typing import Layers, Structure, Tensor
from keras_contrastive.trainers._absent_rows import presence_by_modality


def check_guides(guides: Any, encoders: Layers, **trained: Any) -> None:
    """Raises unless `guides` are layers for all modalities or for one, and not trained.

    Args:
        guides: See `ContrastiveTrainer`.
        encoders: See `ContrastiveTrainer`.
        **trained: Layers, dicts or lists of layers, or `None`, by the names of arguments.
    """
    if guides is None:
        return
    has_towers = isinstance(encoders, dict)
    expected = "a dict of layers by modality" if has_towers else "a layer"
    layers = list(guides.values()) if isinstance(guides, Mapping) else [guides]
    is_layers = bool(layers) and all(isinstance(layer, keras.layers.Layer) for layer in layers)
    if isinstance(guides, Mapping) != has_towers or not is_layers:
        raise TypeError(
            f"`guides` must be `None` or {expected}, like `encoders`. Received: guides={guides!r}."
        )
    guiding = {id(layer) for layer in inner_layers(layers)}
    for argument, parts in {"encoders": encoders, **trained}.items():
        if any(id(layer) in guiding for layer in inner_layers(parts)):
            raise ValueError(
                f"`guides` must be other layers than `{argument}`, since they are frozen. "
                f"Received: guides={guides!r}. Pass a copy, with its weights."
            )
    if has_towers and set(guides) != set(encoders) and not _is_one_of(guides, encoders):
        raise ValueError(
            f"`guides` must have a layer for each of {', '.join(encoders)}, or for one of them. "
            f"Received: {', '.join(map(str, guides))}."
        )


def _is_one_of(guides: Mapping[str, Any], encoders: Mapping[str, Any]) -> bool:
    return len(guides) == 1 and set(guides) <= set(encoders)


def frozen(guides: Any, encoders: Layers, **trained: Any) -> Any:
    """Returns guides that are not trained. Raises if they do not fit. See `check_guides`."""
    check_guides(guides, encoders, **trained)
    for guide in guides.values() if isinstance(guides, dict) else [guides]:
        if guide is not None:
            guide.trainable = False
    return guides


def guide_of(trainer: Any, name: str) -> Any:
    """Returns the guide of a modality, or `None` if it has none."""
    return trainer.guides.get(name) if trainer.has_towers else trainer.guides


def build_guides(trainer: Any, inputs: Structure) -> None:
    """Builds the guides that are not, in `call`, where Keras creates weights."""
    if trainer.guides is None:
        return
    inputs = trainer.inputs_by_modality(inputs, complete=False)
    for name in trainer.modalities:
        guide = guide_of(trainer, name)
        if guide is not None and not guide.built and name in inputs:
            guide(inputs[name], training=False)


def guides_by_view(
    trainer: Any, inputs: Mapping[str, Structure], second_views: Mapping[str, str]
) -> dict[str, Tensor]:
    """Returns the embeddings of the guides for each view, `(batch, guide_dim)`.

    A second view has those of its modality. If one modality has a guide, all views have its
    embeddings: two rows are then as similar as the inputs of that modality.

    Args:
        trainer: A trainer with `guides`.
        inputs: Inputs by modality.
        second_views: Names of second views by modality.
    """
    guided = [name for name in trainer.modalities if guide_of(trainer, name) is not None]
    present = presence_by_modality(inputs, trainer.present)
    found = {
        name: zero_where_missing(embed_by_guide(trainer, name, inputs[name]), present.get(name))
        for name in guided
    }
    by_modality = {name: found.get(name, found[guided[0]]) for name in trainer.modalities}
    return {**by_modality, **{view: by_modality[name] for name, view in second_views.items()}}


def embed_by_guide(trainer: Any, name: str, inputs: Structure) -> Tensor:
    """Embeds inputs by the guide of their modality, without a gradient."""
    return ops.stop_gradient(guide_of(trainer, name)(inputs, training=False))
