"""Exported embedders give the same vectors in a process without this package.

The tests of JAX need TensorFlow, which the environment of the towers holds.
"""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.encoders import Encoder
from tests.helpers import fusion_trainers, served, towers
from tests.helpers.export import FORMATS, exporting

TOKENS = {
    "token_ids": np.array([[1, 2, 3, 0], [4, 5, 0, 0], [6, 1, 1, 2]], "int32"),
    "padding_mask": np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]], bool),
}


def text_backbone():
    token_ids = keras.Input((4,), dtype="int32", name="token_ids")
    mask = keras.Input((4,), dtype="bool", name="padding_mask")
    features = keras.layers.LayerNormalization()(keras.layers.Embedding(10, 5)(token_ids))
    return keras.Model({"token_ids": token_ids, "padding_mask": mask}, features)


def two_towers():
    x = towers.pairs(5)
    text = Encoder(text_backbone(), 4, pooling="mean")
    model = ContrastiveTrainer({"image": towers.tower(6), "text": text})
    model({"image": x["image"][:3], "text": TOKENS})
    return {
        "image": (model.embedder("image", truncate=2), x["image"]),
        "tokens": (model.embedder("text"), TOKENS),
    }


def one_encoder():
    x = towers.pairs(5)
    one = ContrastiveTrainer(towers.tower(6), towers.Shift(), projectors=keras.layers.Dense(3))
    one(x["image"])
    return {"representation": (one.embedder(projected=False, normalize=False), x["image"])}


def fusion():
    model, x = fusion_trainers.fusion_trainer(), fusion_trainers.data(5)
    return {name: (model.embedder(name), x[name]) for name in ("image", "text")}


TRAINERS = [two_towers, *(pytest.param(f, marks=pytest.mark.full) for f in (one_encoder, fusion))]


@exporting
# Keras passes it to JAX.
@pytest.mark.filterwarnings("ignore:The `native_serialization` parameter:DeprecationWarning")
@pytest.mark.parametrize("make", TRAINERS)
@pytest.mark.parametrize("format", FORMATS)
def test_programs_need_no_package_and_take_any_number_of_rows(tmp_path, format, make):
    if format == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    suffix = {"torch": ".pt2", "onnx": ".onnx", "litert": ".tflite", "tf_saved_model": ""}[format]
    paths, expected = [], {}
    for name, (embedder, x) in make().items():
        paths.append(str(tmp_path / f"{name}{suffix}"))
        expected[paths[-1]] = embedder.predict(x, verbose=0)
        embedder.export(paths[-1], format=format, verbose=False)
        inputs = x if isinstance(x, dict) else {"inputs": x}
        np.savez(tmp_path / f"{name}_inputs.npz", **inputs)
    run_elsewhere(tmp_path, paths)
    for path, vectors in expected.items():
        with np.load(f"{path}_outputs.npz") as outputs:
            found = dict(outputs)
        np.testing.assert_allclose(found["all"], vectors, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found["first"], vectors[:1], rtol=0, atol=1e-5)


def run_elsewhere(folder, paths):
    program = pathlib.Path(served.__file__)
    result = subprocess.run(
        [sys.executable, "-P", str(program), *paths],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("preprocessor", [lambda words: words, keras.layers.Identity()])
def test_a_preprocessor_is_not_exported(tmp_path, preprocessor):
    model = ContrastiveTrainer({"image": towers.tower(6)})
    embedder = model.embedder("image", preprocessor=preprocessor)
    with pytest.raises(ValueError, match="`preprocessor` must be `None` in `export`"):
        embedder.export(tmp_path / "model")


def test_unknown_shapes_are_not_exported(tmp_path):
    embedder = ContrastiveTrainer({"image": towers.tower(6)}).embedder("image")
    with pytest.raises(ValueError, match="`input_signature` must be given if the shapes of the"):
        embedder.export(tmp_path / "model")
