"""The README's code runs as it stands."""

import pathlib
import re

import keras
import numpy as np
import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
SHORTER = {"epochs=20": "epochs=2"}


def encoder(*layers, shape, dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers, keras.layers.Dense(8)])


@pytest.fixture
def names():
    rng = np.random.default_rng(0)
    image_shape = (8, 8, 3)
    pooled = lambda: keras.layers.Flatten()  # noqa: E731
    return {
        "images": rng.uniform(size=(12, *image_shape)).astype("float32"),
        "new_images": rng.uniform(size=(10, *image_shape)).astype("float32"),
        "tokens": rng.integers(20, size=(12, 5)),
        "wrong_tokens": rng.integers(20, size=(12, 5)),
        "new_tokens": rng.integers(20, size=(10, 5)),
        "text_embeddings": rng.normal(size=(12, 8)).astype("float32"),
        "image_tower": encoder(pooled(), shape=image_shape),
        "image_encoder": encoder(pooled(), shape=image_shape),
        "backbone": encoder(pooled(), shape=image_shape),
        "text_encoder": encoder(
            keras.layers.Embedding(20, 4), keras.layers.GlobalAveragePooling1D(), shape=(5,), dtype="int32"
        ),
    }


def test_the_stories_run(names):
    assert len(BLOCKS) == 5
    for block in BLOCKS:  # in order: later ones use what earlier ones define
        for long, short in SHORTER.items():
            block = block.replace(long, short)
        exec(block, names)
    assert names["embeddings"].shape == (10, 8)
    assert np.isfinite(names["model"].history.history["loss"][-1])
    assert names["features"].shape == (12, 8)


def test_links_to_files_of_the_project_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
