"""The benchmark for a machine with a GPU, in small sizes on a CPU."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = ROOT / "benchmarks" / "on_gpu.py"
PARTS = ["correctness", "loss_speed", "training", "million", "augmenters"]
# Starts a process that keeps the output open. Prints a row and something else. Then it fails, or
# never ends.
CHILD = """
import json, subprocess, sys, time
child = json.loads(sys.argv[2])
subprocess.Popen(["sleep", "60"])
print('ROW {"part": "losses", "backend": "torch", "ms": 1.5}', flush=True)
print("chatter", flush=True)
sys.exit(3) if child["fails"] else time.sleep(60)
"""


def run(*arguments):
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture
def processes(monkeypatch):
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    from gpu import processes

    return processes


@pytest.mark.parametrize(
    ("fails", "note"), [(True, "exit code 3"), (False, "no time left")], ids=["fails", "hangs"]
)
def test_rows_of_a_part_survive_its_end(processes, tmp_path, capfd, fails, note):
    (tmp_path / "child.py").write_text(CHILD)
    child = {"part": "losses", "fails": fails}
    process = processes.Process(str(tmp_path / "child.py"), "torch", child, tmp_path / "log")
    process.wait(5 if fails else 1)
    assert process.rows == [{"part": "losses", "backend": "torch", "ms": 1.5}]
    assert note in process.state()["note"]
    assert "1.5" in capfd.readouterr().out
    assert "chatter" in (tmp_path / "log").read_text()


def test_parts_without_time_are_skipped_and_listed(tmp_path):
    done = run("--seconds", 0, "--backends", "torch", "jax", "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads((tmp_path / "on_gpu.json").read_text())
    assert [part["part"] for part in result["parts"]] == [part for part in PARTS for _ in "12"]
    assert all("skipped" in part["note"] for part in result["parts"])


def test_page_shows_results_and_whether_targets_are_met(tmp_path):
    speed = {"part": "loss_speed", "backend": "jax", "loss": "InfoNCE", "batch": 65_536}
    ours = {**speed, "who": "ours", "numbers": "float32, TF32", "ms": 50.0, "of TF32 peak": 0.7}
    million = {"part": "million", "backend": "torch", "loss": "InfoNCE", "batch": 2**20}
    rows = [ours, {**ours, "who": "plain", "ms": 40.0}, {**million, "MiB": 7000.0}]
    machine = {"gpu": "NVIDIA H200", "processor": "16 cores"}
    result = {"machine": machine, "quick": False, "parts": [], "rows": rows}
    (tmp_path / "on_gpu.json").write_text(json.dumps(result))
    page = tmp_path / "gpu.md"
    page.write_text((ROOT / "docs" / "gpu.md").read_text(encoding="utf-8"), encoding="utf-8")
    done = run("--page", tmp_path / "on_gpu.json", "--into", page)
    assert done.returncode == 0, done.stderr[-2000:]
    text = page.read_text(encoding="utf-8")
    assert "No GPU has run" not in text
    assert "None yet" not in text
    verdicts = {line.split(" | ")[-1].strip(" |") for line in text.splitlines() if "| " in line}
    assert {"met", "missed", "not measured"} <= verdicts
    assert "torch 7,000 | met" in text
    assert "jax 1.25 | missed" in text


@pytest.mark.full
@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="PyTorch and JAX only")
def test_quick_run_measures_every_part(tmp_path):
    backend = keras.backend.backend()
    done = run("--quick", "--backends", backend, "--seconds", 1500, "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads((tmp_path / "on_gpu.json").read_text())
    assert [part["note"] for part in result["parts"]] == [""] * (len(PARTS) + 1)
    rows = result["rows"]
    assert all(row["good"] for row in rows if row["part"] == "correctness" and "good" in row)
    assert {row["part"] for row in rows} == set(PARTS)
    # Other libraries may be missing here.
    ours = [row for row in rows if row.get("who", "").startswith(("ours", "Contrastive"))]
    assert len(ours) >= 9
    assert [row for row in ours if "note" in row] == []
    assert all(row["numbers"] for row in rows if "loss" in row)
