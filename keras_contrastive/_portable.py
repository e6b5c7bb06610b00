"""Base of models that are saved on one backend and trained further on another."""

from typing import Any

import keras

from keras_contrastive._recovery import RecoveringModel
from keras_contrastive._replicas import process_index
from keras_contrastive._typing import Config


class PortableModel(RecoveringModel):
    """A Keras model whose files every backend can load, compile and train further.

    Of several PyTorch processes, only the first one writes files. An error does not destroy it.
    """

    def get_compile_config(self) -> Config:
        config = super().get_compile_config()
        if not config:
            return config
        return {**config, "optimizer": portable_optimizer(config["optimizer"])}

    def compile_from_config(self, config: Config) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            # Keras restores the state of the optimizer only if its variables exist.
            self.optimizer.build(self.trainable_variables)

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the model as `keras.Model.save`. Only the first of several processes writes."""
        if process_index() == 0:
            super().save(filepath, *args, **kwargs)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves as `keras.Model.save_weights`. Only the first of several processes writes."""
        if process_index() == 0:
            super().save_weights(filepath, *args, **kwargs)


def portable_optimizer(config: Any) -> Any:
    """Returns the config of an optimizer with its public class.

    On PyTorch, Keras saves a class that only PyTorch can load. Optimizers inside other optimizers
    are changed too. Configs of optimizers that are not from Keras stay as they are.

    Args:
        config: A serialized optimizer.
    """
    if not isinstance(config, dict) or not _is_from_keras(config):
        return config
    inner = {name: portable_optimizer(value) for name, value in config["config"].items()}
    return {**config, "module": "keras.optimizers", "registered_name": None, "config": inner}


def _is_from_keras(config: Config) -> bool:
    module, name = str(config.get("module")), str(config.get("class_name"))
    return module.partition(".")[0] == "keras" and hasattr(keras.optimizers, name)
