"""The programs on icons: their search, errors and pages, and each of them from end to end."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

import keras
import numpy as np
import pytest

from tests.helpers.markdown import ROOT

PROGRAMS = ROOT / "benchmarks" / "icons"
CELLS = ROOT / "docs" / "research" / "cells"


@pytest.fixture
def program(monkeypatch):
    """Returns a function that imports a module of the programs."""
    monkeypatch.syspath_prepend(str(PROGRAMS))
    before = set(sys.modules)
    yield lambda name: __import__(name)
    for name in set(sys.modules) - before:
        if (PROGRAMS / f"{name}.py").exists():
            del sys.modules[name]


def test_tuning_ends_with_the_best_point_inside_of_the_grid(program):
    protocol = program("protocol")

    def score(rates, temperatures):
        calls.append(len(rates))
        i = np.log2(np.array(rates) / protocol.middle_rate(64)).round()
        j = 2 * np.log2(np.array(temperatures) / protocol.MIDDLE_TEMPERATURE).round(2)
        return -((i - 3) ** 2) - (j + 2) ** 2

    calls = []
    best, found = protocol.tune(score, 64, at_once=5)
    assert best == (3, -2)
    assert {(2, -2), (4, -2), (3, -3), (3, -1)} <= set(found)
    assert set(calls) == {5}
    assert found[best] == max(found.values())


def test_errors_over_families_equal_those_of_the_bootstrap(program):
    protocol, rng = program("protocol"), np.random.default_rng(0)
    counts = rng.integers(1, 9, size=300)
    sums = counts * rng.uniform(size=300)
    mean, error = protocol.over_families({"sums": sums, "counts": counts})
    assert mean == pytest.approx(sums.sum() / counts.sum())
    rows = rng.integers(300, size=(4000, 300))
    drawn = sums[rows].sum(axis=1) / counts[rows].sum(axis=1)
    assert error == pytest.approx(drawn.std(), rel=0.05)  # 4,000 draws: 1 %


def test_a_difference_is_paired_over_families(program):
    protocol = program("protocol")
    first = {"mrr": [0.5, 0.7], "sums": [1.0, 5.0, 3.0], "counts": [2, 8, 5]}
    better = {**first, "mrr": [0.6, 0.8], "sums": [1.2, 5.8, 3.5]}  # 0.1 more for each item
    mean, seeds, families = protocol.difference(better, first)
    assert (mean, seeds) == pytest.approx((0.1, np.hypot(0.1, 0.1)))
    assert families == pytest.approx(0, abs=1e-12)


def test_steps_in_one_loop_and_one_by_one_give_the_same_weights(program):
    if keras.backend.backend() != "jax":
        pytest.skip("the program is for JAX")
    runs, losses = program("runs"), program("half_the_batch").LOSSES
    drawings = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    data = _Pairs(drawings, drawings)
    trained = []
    for way in ("linear", "pixels"):
        runs.TOWERS["pixels"] = runs.linear  # the towers of both ways
        made = runs.Runs(losses["GlobalContrastive"](20, 4), way, data, batch_size=4, samples=60)
        trained.append(made.train([0.01, 0.02, 0.02], [0.1, 0.1, 0.3], [1, 1, 2]))
    loop, steps = trained
    start = np.stack([made._start(seed)[0] for seed in (1, 1, 2)])
    assert np.abs(loop[0] - start).mean(axis=(1, 2)).min() > 0.005
    for one, other in zip(loop, steps, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


class _Pairs(NamedTuple):
    """Pairs of rows `2 i` and `2 i + 1`."""

    first: np.ndarray
    second: np.ndarray

    def items(self, split, seed=0):
        pairs = np.arange(len(self.first)).reshape(-1, 2)
        return pairs, pairs[:, 0]


PAGES = [name.stem.removesuffix("_page") for name in PROGRAMS.glob("*_page.py")]
WRITTEN = [name for name in PAGES if (CELLS.parent / f"{name}.md").exists()]


@pytest.mark.every_case
@pytest.mark.parametrize("name", WRITTEN)
def test_pages_have_the_numbers_of_their_cells(program, name, tmp_path, monkeypatch):
    page = CELLS.parent / f"{name}.md"
    module = program(f"{name}_page")
    for draw in ("draw", "draw_towers"):
        monkeypatch.setattr(module, draw, lambda *arguments: None, raising=False)
    # Everything is written beside a copy of the cells.
    shutil.copytree(CELLS, tmp_path / "cells")
    tables = re.compile(r"(<!-- table: .*? -->\n).*?(<!-- end -->)", re.DOTALL)
    empty = tables.sub(r"\1\2", page.read_text(encoding="utf-8"))
    assert empty != page.read_text(encoding="utf-8")
    (tmp_path / page.name).write_text(empty, encoding="utf-8")
    module.write(tmp_path / "cells")
    assert (tmp_path / page.name).read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


QUICK = {
    "half_the_batch": ("half_the_batch", 5),
    "less_data": ("less_data", 2),
    "small_batch": ("small_batch", 4),
    "structures": ("structures", 3),
}
LEFT_TO_RELEASE = "less_data", "small_batch"  # they share their search with `half_the_batch`


@pytest.mark.full
@pytest.mark.drawings
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.release] * (name in LEFT_TO_RELEASE)) for name in QUICK],
)
def test_quick_runs_write_cells(name, tmp_path):
    pytest.importorskip("jax")
    folder, count = QUICK[name]
    command = [sys.executable, str(PROGRAMS / f"{name}.py"), "--quick", "--out", str(tmp_path)]
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    cells = {
        path.stem: json.loads(path.read_text()) for path in _cells(tmp_path / "cells" / folder)
    }
    assert len(cells) == count
    for cell in cells.values():
        if "mrr" in cell.get("test", {}):
            # Hundreds of candidates: far above chance.
            assert all(0.05 < score < 1 for score in cell["test"]["mrr"])
            assert sum(cell["test"]["counts"]) > 100
    again = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (again.returncode, again.stdout) == (0, "")  # nothing is run again


def _cells(folder: pathlib.Path):
    return sorted(folder.glob("*.json"))
