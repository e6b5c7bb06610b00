"""Backbones by the name of a preset."""


def load_backbone(backbone):
    """A backbone as it is; one that is named, from keras-hub."""
    if not isinstance(backbone, str):
        return backbone
    try:
        import keras_hub
    except ImportError as error:
        raise ImportError(
            "A backbone that is given by the name of a preset is loaded by keras-hub, which cannot be imported "
            f"({error}). Run: pip install keras-hub. Received: backbone={backbone!r}."
        ) from error
    return keras_hub.models.Backbone.from_preset(backbone)
