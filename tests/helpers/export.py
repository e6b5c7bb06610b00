"""Export of models, and the outputs of the exported program."""

import keras
import numpy as np
import pytest

EXPORTS = keras.backend.backend() != "torch" or keras.__version__ >= "3.13"
exporting = pytest.mark.skipif(not EXPORTS, reason="Keras 3.12 does not export on PyTorch")

# Each format that Keras and the packages of an environment export. JAX needs TensorFlow, which the
# environments of the towers hold, and ONNX needs the extra `onnx`, as in `full-torch`.
FORMATS = {
    "torch": ["torch", pytest.param("onnx", marks=pytest.mark.full)],
    "tensorflow": ["tf_saved_model", pytest.param("litert", marks=pytest.mark.full)],
    "jax": [pytest.param("tf_saved_model", marks=pytest.mark.towers)],
}[keras.backend.backend()]


def exported_outputs(model, folder, x):
    """Exports a model that was called, and returns the outputs of the program for one row.

    PyTorch exports to its own format, the other backends to a `SavedModel`.
    """
    if keras.backend.backend() == "torch":
        return _of_torch(model, str(folder / "model.pt2"), x)
    tf = pytest.importorskip("tensorflow")
    path = str(folder / "model")
    model.export(path, verbose=False)
    program = tf.saved_model.load(path)  # it owns the variables of its functions
    served = program.serve(keras.tree.map_structure(tf.constant, x))
    return keras.tree.map_structure(np.asarray, served)


def _of_torch(model, path, x):
    import torch

    model.export(path, format="torch", verbose=False)
    program = torch.export.load(path).module()
    with torch.no_grad():
        outputs = program(keras.tree.map_structure(torch.tensor, x))
    return keras.tree.map_structure(lambda y: y.cpu().numpy(), outputs)
