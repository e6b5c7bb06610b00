"""Programs of PyTorch for batches of any size."""

import warnings
from typing import Any

import keras
from keras import ops

from keras_contrastive._typing import Structure


def dynamic_shapes(signature: Structure) -> Any:
    """Returns `dynamic_shapes` of `torch.export.export`: all inputs share any number of rows."""
    import torch

    batch = torch.export.Dim("batch")
    (argument,) = signature
    # Keras exports a method of `*args`, whose one argument is in a tuple inside of a list.
    return [(keras.tree.map_structure(lambda _: {0: batch}, argument),)]


def export_onnx(
    model: keras.Model, filepath: Any, signature: Structure, opset_version: int | None = None
) -> None:
    """Writes a model with one argument as an ONNX file.

    Keras' export of batches of any size traces with TorchScript, which fails for layers such as
    `LayerNormalization`.

    Args:
        model: The model.
        filepath: Where the file is written.
        signature: List of one structure of named specs.
        opset_version: `None`, or the version of ONNX.
    """
    import torch

    (argument,) = signature
    specs = keras.tree.flatten(argument)
    # PyTorch makes a dimension of size 1 a constant.
    rows = [ops.ones([2 if size is None else size for size in s.shape], s.dtype) for s in specs]

    class Program(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(keras.tree.pack_sequence_as(argument, inputs))

    batch = torch.export.Dim("batch")
    with torch.no_grad(), warnings.catch_warnings():
        # PyTorch warns of its own code.
        warnings.filterwarnings("ignore", category=FutureWarning)
        program = torch.export.export(
            Program().eval(),
            tuple(rows),
            dynamic_shapes=[tuple({0: batch} for _ in specs)],
            strict=False,
        )
        names = [spec.name for spec in specs]
        written = torch.onnx.export(
            program,
            input_names=names,
            output_names=["embeddings"],
            opset_version=opset_version,
            dynamo=True,
            verbose=False,
        )
    written.save(str(filepath))
