"""The code in the README runs as printed, each block in a process of its own."""

import re
import subprocess
import sys

import pytest

from tests.helpers.markdown import README, ROOT, python_blocks

QUICKSTART, IMAGES_AND_TEXT, REGULARIZERS = python_blocks(README)


def printed_by(block):
    command = [sys.executable, "-c", block]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow_to_compile
def test_the_quickstart_prints_a_value_that_improves():
    before, after = map(float, re.findall(r"597: (\d\.\d+)", printed_by(QUICKSTART)))
    assert before < 0.05
    assert after > 0.4


@pytest.mark.slow_to_compile
def test_most_images_found_by_the_name_of_a_digit_show_it():
    found = re.findall(r"\d", printed_by(IMAGES_AND_TEXT).rpartition("[[")[2])
    assert len(found) == 50
    right = sum(int(digit) == i // 5 for i, digit in enumerate(found))
    assert right > 35


@pytest.mark.slow_to_compile
def test_the_regularizers_are_logged():
    logs = printed_by(REGULARIZERS)
    for name in ("deep_feature_separation", "brownian_bridge", "geometric_consistency"):
        assert f"{name}: " in logs
