"""The code of the page on search runs as printed."""

import functools

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from tests.helpers.backend import COMPILE_LEAST
from tests.helpers.markdown import ROOT, python_blocks

BLOCKS = python_blocks(ROOT / "docs" / "search.md")
APPROXIMATE = [number for number, block in enumerate(BLOCKS) if "faiss" in block]
ROWS = 40


@pytest.fixture
def names(rng):
    """The names that the page uses: a model with equal towers, and similar images and texts."""
    cause = rng.normal(size=(ROWS, 6)).astype("float32")
    start = keras.initializers.Identity()  # the same on all backends
    towers = {
        name: keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, kernel_initializer=start)])
        for name in ("image", "text")
    }
    model = ContrastiveTrainer(towers)
    guide = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, kernel_initializer=start)])
    return {
        "model": model,
        "images": cause,
        "tokens": cause + 0.5 * rng.normal(size=cause.shape).astype("float32"),
        "ids": np.arange(ROWS),
        "labels": np.arange(ROWS) % 5,
        "text_guide": guide,
    }


def run(blocks, names):
    for block in blocks:
        exec(block, names)


@pytest.mark.slow_to_compile
def test_search_measures_and_mining_run(names, monkeypatch):
    quick = functools.partialmethod(keras.Model.compile, **COMPILE_LEAST)
    monkeypatch.setattr(keras.Model, "compile", quick)
    # All but the index, and the comparison with it.
    index = APPROXIMATE[0]
    run([*BLOCKS[:index], *BLOCKS[index + 2 :]], names)
    assert names["nearest_images"].shape == (5, 6)
    assert 0 <= names["graded"]["ndcg_at_10"] <= 1
    assert set(names["by_label"]) == {
        *("map_at_r", "map_at_r_error", "r_precision", "r_precision_error")
    }
    assert set(names["difference"]) == {"mrr", "mrr_error"}
    assert (names["rows"] != names["ids"][:, None]).all()
    assert names["kept"].all()
    for trainer in ("trainer", "guided", "recommender"):
        assert np.isfinite(names[trainer].history.history["loss"]).all()


@pytest.mark.conformance
def test_an_index_finds_the_rows_of_the_exact_search(names, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    index = APPROXIMATE[0]
    run([BLOCKS[0], BLOCKS[index], BLOCKS[index + 1]], names)
    assert names["found"] > 0.9
    cosines = np.take_along_axis(
        names["vectors"]["text"] @ names["vectors"]["image"].T, names["rows"], axis=1
    )
    np.testing.assert_allclose(names["scores"], cosines, atol=1e-5)
    assert (tmp_path / "images.faiss").exists()


def test_the_page_has_one_recipe_of_an_index():
    assert len(APPROXIMATE) == 1
