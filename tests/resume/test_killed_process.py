"""A process that is killed in the middle of an epoch is resumed by another one."""

import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "kill_and_resume.py"


def test_a_killed_and_resumed_training_ends_with_the_same_bits():
    command = [sys.executable, str(SCRIPT), "--times", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "1 of 1 runs ended with the same bits" in done.stdout
