"""Shapes, dtypes and vocabularies of the inputs of a model."""

from typing import Any

import keras

from keras_contrastive._typing import Structure


def specs_of(inputs: Structure, float_dtype: str) -> Structure:
    """Returns a `keras.InputSpec` with an unknown number of rows for each input.

    Args:
        inputs: A tensor, an array or a structure of them, `(batch, ...)`.
        float_dtype: The dtype of all inputs that are floats. A model casts them, so the dtype
            inside of `call` is not the one that a user passes.
    """

    def spec_of(x: Any) -> Any:
        dtype = keras.backend.standardize_dtype(x.dtype)
        if keras.backend.is_float_dtype(dtype):
            dtype = float_dtype
        return keras.InputSpec(shape=(None, *tuple(x.shape)[1:]), dtype=dtype)

    return keras.tree.map_structure(spec_of, inputs)


def symbolic(specs: Structure) -> Structure:
    """Returns a symbolic tensor for each spec, which Keras can save, and call a model with."""
    return keras.tree.map_structure(lambda spec: keras.KerasTensor(spec.shape, spec.dtype), specs)


def signature_of(specs: Structure) -> list[Structure]:
    """Returns the signature of an exported program. Its inputs have the names of a dict's keys."""
    named = [
        keras.InputSpec(
            shape=spec.shape, dtype=spec.dtype, name="_".join(map(str, path)) or "inputs"
        )
        for path, spec in keras.tree.flatten_with_path(specs)
    ]
    return [keras.tree.pack_sequence_as(specs, named)]


def vocabulary_size(tower: Any) -> int | None:
    """Returns the size of the vocabulary of a tower, or `None` if it is unknown."""
    size = getattr(tower, "vocabulary_size", None)
    layers = tower.layers if isinstance(tower, keras.Sequential) else []
    if size is None and layers and isinstance(layers[0], keras.layers.Embedding):
        size = layers[0].input_dim
    return size if isinstance(size, int) else None
