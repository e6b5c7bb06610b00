"""The figures of docs/benchmarks.md and docs/results.md are drawn from their tables."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]


@pytest.mark.viz
def test_figures_are_drawn_from_the_tables(tmp_path):
    program = ROOT / "benchmarks" / "page_figures.py"
    command = [sys.executable, str(program), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for path in tmp_path.iterdir():
        assert (ROOT / "docs" / path.name).exists()
    assert len(list(tmp_path.iterdir())) == 6
