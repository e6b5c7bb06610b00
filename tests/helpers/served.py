"""Runs exported programs in a process that cannot import this package.

For each file of the command line, such as `image.pt2`, `image_inputs.npz` has the inputs by name.
The outputs for all rows, and for the first one, are written to `image.pt2_outputs.npz`.
"""

import pathlib
import sys

import numpy as np


class Blocked:
    """Makes the import of this package fail."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "keras_contrastive":
            raise ImportError(f"{name} is blocked")


def of_torch(path):
    import torch

    program = torch.export.load(path).module()

    def call(inputs):
        with torch.no_grad():
            tensors = {name: torch.tensor(array) for name, array in inputs.items()}
            return program(tensors.get("inputs", tensors)).numpy()

    return call


def of_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return lambda inputs: session.run(["embeddings"], inputs)[0]


def of_litert(path):
    import tensorflow as tf

    def call(inputs):
        interpreter = tf.lite.Interpreter(model_path=path)
        details = {
            detail["name"].removeprefix("serving_default_").removesuffix(":0"): detail["index"]
            for detail in interpreter.get_input_details()
        }
        for name, array in inputs.items():
            interpreter.resize_tensor_input(details[name], array.shape)
        interpreter.allocate_tensors()
        for name, array in inputs.items():
            interpreter.set_tensor(details[name], array)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return call


def of_saved_model(path):
    import tensorflow as tf

    program = tf.saved_model.load(path)

    def call(inputs):
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        return program.serve(tensors.get("inputs", tensors)).numpy()

    return call


LOADERS = {".pt2": of_torch, ".onnx": of_onnx, ".tflite": of_litert, "": of_saved_model}

if __name__ == "__main__":
    sys.meta_path.insert(0, Blocked())
    for name in sys.argv[1:]:
        path = pathlib.Path(name)
        program = LOADERS[path.suffix](name)
        inputs = dict(np.load(path.with_name(f"{path.stem}_inputs.npz")))
        first = {key: rows[:1] for key, rows in inputs.items()}
        np.savez(f"{name}_outputs.npz", all=program(inputs), first=program(first))
