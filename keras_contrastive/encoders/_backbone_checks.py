"""Errors about backbones that are easily confused with the right ones."""

import keras


def check_no_application(name: str) -> None:
    """Raises a `ValueError` if the name of a preset is that of a model of `keras.applications`."""
    for known in vars(keras.applications):
        is_model = known[0].isupper() and callable(getattr(keras.applications, known))
        if is_model and known.lower() == name.replace("_", "").replace("-", "").lower():
            raise ValueError(
                "`backbone` must be a model, or the name of a preset of keras-hub. Received: "
                f"backbone={name!r}, a model of `keras.applications`. Pass "
                f"`keras.applications.{known}(include_top=False)`."
            )


def check_no_classifier(backbone: keras.Model) -> None:
    """Raises a `ValueError` if the outputs of a backbone are classes, not features."""
    task = getattr(backbone, "backbone", None)
    if isinstance(task, keras.Model) and type(backbone).__name__.endswith("Classifier"):
        raise ValueError(
            "`backbone` must return features, not classes. Received: "
            f"`{type(backbone).__name__}`, a classifier. Pass its `backbone` attribute."
        )
    if not backbone.layers:
        return
    last = backbone.layers[-1]
    is_softmax = getattr(last, "activation", None) is keras.activations.softmax
    # The names in `keras.applications`.
    is_named = last.name.lower().endswith(("predictions", "_head_dense"))
    if is_softmax or isinstance(last, keras.layers.Softmax) or is_named:
        raise ValueError(
            "`backbone` must return features, not classes. Received: "
            f"`{type(backbone).__name__}` {backbone.name!r}, which ends with the classifier "
            f"{last.name!r}. Build it with `include_top=False`, or cut it off with "
            "`keras.Model(backbone.input, backbone.layers[-2].output)`."
        )
