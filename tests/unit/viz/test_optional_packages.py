"""Without matplotlib or pillow, an error names the extra. These tests run in each environment."""

import sys

import numpy as np
import pytest

from keras_contrastive import viz

ROWS = np.zeros((2, 1), "int32")


@pytest.mark.parametrize(
    "draw",
    [
        lambda: viz.neighbors(["a", "b"], ["c"], ROWS),
        lambda: viz.embeddings(np.eye(3)),
        lambda: viz.training({"loss": [1.0]}),
    ],
    ids=["neighbors", "embeddings", "training"],
)
def test_matplotlib_that_is_not_installed_is_named(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        ImportError,
        match=r"`matplotlib` must be installed.*pip install \"\.\[viz\]\"",
    ):
        draw()


def test_pillow_is_needed_for_a_sprite_only(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert (viz.projector(tmp_path, np.eye(2)) / "tensors.tsv").exists()
    with pytest.raises(ImportError, match=r"`PIL` must be installed.*pip install \"\.\[viz\]\""):
        viz.projector(tmp_path, np.eye(2), images=np.zeros((2, 4, 4)))
