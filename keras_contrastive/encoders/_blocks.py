"""The parts of a backbone that are frozen and trained one after the other."""

import keras


def blocks(layer):
    """The layers that hold the weights of a model, from its input on.

    Models, and layers that keep their blocks in a list (as vision transformers do), are opened; everything
    else counts as one.
    """
    inside = layer.layers if isinstance(layer, keras.Model) else _listed(layer)
    if not inside:
        return [layer] if layer.weights else []
    return [block for part in inside for block in blocks(part)]


def train_only(model, trained):
    """Train these blocks of a model, and nothing else of it."""
    weights = {id(weight) for block in trained for weight in block.weights}
    set_trainable(model, bool(weights))
    for block in blocks(model):
        set_trainable(block, all(id(weight) in weights for weight in block.weights))
    for weight in model.trainable_variables:  # such as position embeddings beside a list of blocks
        if id(weight) not in weights:
            weight.trainable = False


def set_trainable(layer, value):
    """Set the flag of a layer and of all inside it."""
    # On TensorFlow, a flag that a layer has already is not set again, nor are those of the layers inside.
    layer.trainable = not value
    layer.trainable = value


def _listed(layer):
    """The parts of a layer that has a list of layers, in the order of its weights; else nothing."""
    attributes = [value for name, value in vars(layer).items() if not name.startswith("_")]
    lists = [value for value in attributes if _is_list_of_layers(value)]
    if not lists:
        return []
    # Torch keeps layers that are attributes in a place of its own.
    alone = [*attributes, *(vars(layer).get("_modules") or {}).values()]
    parts = {id(part): part for part in alone if isinstance(part, keras.layers.Layer)}
    parts |= {id(part): part for part in keras.tree.flatten([list(value) for value in lists])}
    place = {id(weight): number for number, weight in enumerate(layer.weights)}
    with_weights = [
        part for part in parts.values() if part.weights and id(part.weights[0]) in place
    ]
    return sorted(with_weights, key=lambda part: place[id(part.weights[0])])


def _is_list_of_layers(value):
    return (
        isinstance(value, (list, tuple))
        and len(value) > 1
        and all(isinstance(x, keras.layers.Layer) for x in value)
    )
