"""The code of `docs/training_curves.md` and `docs/figures.md` runs as printed."""

import keras
import pytest

from tests.helpers.markdown import ROOT, python_blocks

pytestmark = pytest.mark.viz


def test_the_code_of_the_page_records_and_draws_all_of_its_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = python_blocks(ROOT / "docs" / "training_curves.md")
    names = {}
    exec(compile(block, "training_curves.md", "exec"), names)
    metrics = {"recall_at_1", "positive_similarity", "hardest_negative", "effective_negatives"}
    recorded = {"loss", "effective_rank", *metrics}
    assert set(names["history"].history) == {
        *recorded,
        *(f"val_{name}" for name in recorded),
        "temperature",
    }
    assert (tmp_path / "training.png").stat().st_size > 10_000
    assert isinstance(names["model"], keras.Model)


def test_the_code_of_the_gallery_writes_its_figures_and_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page, names = ROOT / "docs" / "figures.md", {}
    for block in python_blocks(page):
        exec(compile(block, "figures.md", "exec"), names)
    for figure in ("figure_neighbors.png", "figure_embeddings.png"):
        assert (tmp_path / figure).exists()
        assert (page.parent / figure).exists()
    assert (tmp_path / "logs" / "sprite.png").exists()
