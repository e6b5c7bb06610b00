"""The guides: their code runs as printed."""

import functools

import keras
import numpy as np
import pytest

from tests.helpers.backend import COMPILE_LEAST
from tests.helpers.markdown import ROOT, python_blocks

GUIDES = [page for page in sorted(ROOT.glob("docs/guides/*.md")) if python_blocks(page)]


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("page", GUIDES, ids=[page.stem for page in GUIDES])
def test_code_runs(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    quick = functools.partialmethod(keras.Model.compile, **COMPILE_LEAST)
    monkeypatch.setattr(keras.Model, "compile", quick)
    keras.utils.set_random_seed(0)
    names = {}
    for block in python_blocks(page):
        exec(block, names)
    if "model" in names:
        assert np.isfinite(names["model"].history.history["loss"]).all()


def test_guides_have_code():
    assert {"evaluation", "fusion", "losses"} <= {page.stem for page in GUIDES}
