"""The code of `docs/training_curves.md` runs as printed."""

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
