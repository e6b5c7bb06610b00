"""Blocks of a backbone, which are frozen or trained one by one."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_contrastive._keras import set_trainable
from keras_contrastive._typing import Layer


def blocks(layer: Layer) -> list[Layer]:
    """Returns the layers that hold the weights of a model, from its input to its output.

    Models are opened, and so are layers with a list of layers, such as vision transformers. Every
    other layer is one block.
    """
    parts = layer.layers if isinstance(layer, keras.Model) else _listed_layers(layer)
    if not parts:
        return [layer] if layer.weights else []
    return [block for part in parts for block in blocks(part)]


def train_only(model: Layer, trained: Sequence[Layer]) -> None:
    """Makes these blocks of a model trainable and freezes all its other weights."""
    weights = {id(weight) for block in trained for weight in block.weights}
    set_trainable(model, bool(weights))
    for block in blocks(model):
        set_trainable(block, all(id(weight) in weights for weight in block.weights))
    # Some weights are in no block, such as position embeddings beside a list of blocks.
    for weight in model.trainable_variables:
        if id(weight) not in weights:
            weight.trainable = False


def _listed_layers(layer: Layer) -> list[Layer]:
    """Returns the parts of a layer that has a list of layers, in the order of its weights."""
    attributes = [value for name, value in vars(layer).items() if not name.startswith("_")]
    lists = [value for value in attributes if _is_list_of_layers(value)]
    if not lists:
        return []
    # On PyTorch, attributes that are layers are stored in `_modules`.
    single = [*attributes, *(vars(layer).get("_modules") or {}).values()]
    parts = {id(part): part for part in single if isinstance(part, keras.layers.Layer)}
    parts |= {id(part): part for part in keras.tree.flatten([list(value) for value in lists])}
    order = {id(weight): number for number, weight in enumerate(layer.weights)}
    with_weights = [
        part for part in parts.values() if part.weights and id(part.weights[0]) in order
    ]
    return sorted(with_weights, key=lambda part: order[id(part.weights[0])])


def _is_list_of_layers(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) > 1
        and all(isinstance(part, keras.layers.Layer) for part in value)
    )
