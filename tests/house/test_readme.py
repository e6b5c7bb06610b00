"""The code in the README runs as printed."""

import functools
import re

import keras
import numpy as np
import pytest

import keras_contrastive
from tests.helpers import backbones
from tests.helpers.backend import COMPILE_LEAST
from tests.helpers.markdown import README, python_blocks, read

BLOCKS = python_blocks(README)
KERAS_HUB_BLOCKS = [block for block in BLOCKS if "keras_hub" in block]
SHORTER = {"epochs=20": "epochs=2"}


def encoder(*layers, shape, dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers, keras.layers.Dense(8)])


@pytest.fixture
def names():
    rng = np.random.default_rng(0)
    image_shape = (8, 8, 3)
    return {
        "images": rng.uniform(size=(12, *image_shape)).astype("float32"),
        "new_images": rng.uniform(size=(10, *image_shape)).astype("float32"),
        "tokens": rng.integers(20, size=(12, 5)),
        "wrong_tokens": rng.integers(20, size=(12, 5)),
        "question_tokens": rng.integers(20, size=(12, 5)),
        "answers": rng.integers(10, size=12),
        "new_tokens": rng.integers(20, size=(10, 5)),
        "text_embeddings": rng.normal(size=(12, 8)).astype("float32"),
        "image_tower": encoder(keras.layers.Flatten(), shape=image_shape),
        "image_encoder": encoder(keras.layers.Flatten(), shape=image_shape),
        "backbone": encoder(keras.layers.Flatten(), shape=image_shape),
        "text_encoder": encoder(
            keras.layers.Embedding(20, 4),
            keras.layers.GlobalAveragePooling1D(),
            shape=(5,),
            dtype="int32",
        ),
    }


def run(blocks, names):
    for block in blocks:  # in order, because later blocks use names of earlier ones
        for long, short in SHORTER.items():
            block = block.replace(long, short)
        exec(block, names)


def compile_least(monkeypatch):
    """Makes `compile` choose the mode that is fastest for a few steps."""
    quick = functools.partialmethod(keras.Model.compile, **COMPILE_LEAST)
    monkeypatch.setattr(keras.Model, "compile", quick)


@pytest.mark.slow_to_compile
def test_the_ways_to_use_it_run(names, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    compile_least(monkeypatch)
    blocks = [block for block in BLOCKS if block not in KERAS_HUB_BLOCKS]
    assert len(blocks) == 7
    run(blocks, names)
    assert names["embeddings"].shape == (10, 8)
    assert np.isfinite(names["model"].history.history["loss"][-1])
    assert names["features"].shape == (12, 8)


@pytest.mark.towers
def test_the_example_of_pretrained_encoders_runs(monkeypatch, tmp_path):
    import keras_hub

    def small(make):
        return classmethod(lambda cls, preset: make())

    monkeypatch.setattr(keras_hub.models.CLIPBackbone, "from_preset", small(backbones.image_text))
    monkeypatch.setattr(keras_hub.models.BertBackbone, "from_preset", small(backbones.bert))
    monkeypatch.chdir(tmp_path)
    assert len(KERAS_HUB_BLOCKS) == 1
    texts = backbones.texts()
    names = {"kc": keras_contrastive, "images": backbones.images(), "token_ids": texts["token_ids"]}
    run(KERAS_HUB_BLOCKS, names)
    assert np.isfinite(names["model"].history.history["loss"][-1])
    assert (tmp_path / "clip_finetuned" / "model.weights.h5").exists()
    assert tuple(names["text_tower"](texts).shape) == (backbones.ROWS, 256)


def test_the_contents_list_every_subpackage():
    listed = re.findall(r"^\| `kc\.(\w+)` \|", read(README), flags=re.MULTILINE)
    shortcuts = {"ContrastiveTrainer", "GammaContrastive"}
    assert sorted(listed) == sorted(set(keras_contrastive.__all__) - shortcuts)
