"""Creates the variables of a trainer before the first step, where that is necessary or faster."""

import contextlib
from collections.abc import Sequence
from typing import Any

import keras

from keras_contrastive._keras import inner_layers
from keras_contrastive._typing import Structure
from keras_contrastive.trainers._data_sets import OrderedDataset
from keras_contrastive.trainers._epoch_data import is_rows
from keras_contrastive.trainers._input_specs import specs_of, symbolic


def build_before_fit(trainer: Any, x: Structure, callbacks: Sequence[Any]) -> None:
    """Builds a trainer that Keras would build too late.

    Args:
        trainer: The model.
        x: The argument of `fit`, checked.
        callbacks: The callbacks of `fit`.
    """
    is_ordered = isinstance(x, OrderedDataset)
    # `BackupAndRestore` restores weights before the first step, so the model must have them.
    restores = any(isinstance(c, keras.callbacks.BackupAndRestore) for c in callbacks)
    # To build a model, Keras starts the workers, and serves their batches in the first epoch.
    has_workers = is_ordered and (x.workers > 1 or x.use_multiprocessing)
    strategy = getattr(trainer, "distribute_strategy", None)
    if not trainer.built and (is_ordered or is_rows(x)) and (restores or has_workers):
        rows = x[0][0] if is_ordered else x
        with strategy.scope() if strategy is not None else contextlib.nullcontext():
            trainer(keras.tree.map_structure(lambda array: array[:1], rows), training=False)
    # With a strategy, Keras builds the model itself.
    has_strategy = getattr(trainer, "_distribute_strategy", None) is not None
    is_traced = keras.backend.backend() == "tensorflow" and not trainer.run_eagerly
    if is_traced and not has_strategy:
        _build_for_tracing(trainer, x)


def _build_for_tracing(trainer: Any, x: Structure) -> None:
    """Creates all variables, so that TensorFlow traces the first step once and not twice."""
    if not trainer.built:
        inputs = x if is_rows(x) else _inputs_of_element(x)
        if inputs is None:
            return
        trainer(symbolic(specs_of(inputs, trainer.variable_dtype)), training=False)
    # Parts of an augmenter are not called, and stay unbuilt.
    augmenters = {id(layer) for layer in inner_layers(trainer.augmenters)}
    trained = [layer for layer in inner_layers(trainer) if id(layer) not in augmenters]
    if not trainer.optimizer.built and all(layer.built for layer in trained):
        trainer.optimizer.build(trainer.trainable_variables)


def _inputs_of_element(dataset: Any) -> Structure | None:
    """Returns the specs of `x` in a `tf.data.Dataset`, or `None` if they are not known."""
    element = getattr(dataset, "element_spec", None)
    inputs = element[0] if isinstance(element, tuple) else element
    specs = keras.tree.flatten(inputs)
    known = all(
        type(spec).__name__ == "TensorSpec" and spec.shape.rank is not None for spec in specs
    )
    return inputs if known else None
