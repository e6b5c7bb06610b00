"""Saved models that can be loaded, and trained further, on another backend."""

import keras


def portable_optimizer(config):
    """Name an optimizer by its public class: on torch, Keras saves a class that only torch can run.

    Args:
        config: A serialized optimizer.

    Returns:
        The same, with `keras.optimizers` as the module of every optimizer of Keras itself.
    """
    if not isinstance(config, dict) or not _is_from_keras(config):
        return config
    inner = {name: portable_optimizer(value) for name, value in config["config"].items()}
    return {**config, "module": "keras.optimizers", "registered_name": None, "config": inner}


def compile_as_saved(model, config):
    """Compile a model that was loaded, and make place for the state of its optimizer."""
    model.compile(**keras.saving.deserialize_keras_object(config))
    if model.built:
        model.optimizer.build(model.trainable_variables)


def _is_from_keras(config):
    module, name = str(config.get("module")), str(config.get("class_name"))
    return module.partition(".")[0] == "keras" and hasattr(keras.optimizers, name)
