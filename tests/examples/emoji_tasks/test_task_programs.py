"""The task sheet and the baselines run from end to end."""

import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.emoji_art
TASKS = ("questions", "comparisons", "entailment", "assignments")
ROOT = pathlib.Path(__file__).parent.parent.parent.parent


def run(script, *arguments, home):
    return subprocess.run(
        [sys.executable, str(ROOT / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"KERAS_CONTRASTIVE_HOME": str(home)},
    )


@pytest.mark.full
def test_task_sheet_draws_a_sheet_of_each_task(cache_dir, tmp_path):
    pytest.importorskip("matplotlib")
    done = run(
        "examples/task_sheet.py", "--columns", 2, "--size", 24, "--out", tmp_path, home=cache_dir
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.png" for name in TASKS}


@pytest.mark.full
def test_baselines_without_text_or_pictures_do_not_beat_chance(cache_dir):
    done = run("benchmarks/task_baselines.py", "--quick", "--size", 24, home=cache_dir)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines() if line]
    tables = [i for i, line in enumerate(lines) if line[0] in TASKS]
    assert len(tables) == 4
    for start, chance in zip(tables[1:], ("0.500", "0.333", "0.333"), strict=True):
        baselines = {line[0]: line[-5:] for line in lines[start + 2 : start + 8]}
        assert set(baselines) == {"majority", "question", "text", "outline", "picture", "both,"}
        for name in ("majority", "question", "text", "outline", "picture"):
            assert baselines[name] == [chance] * 5, name
