"""The examples run from end to end, as a user starts them."""

import os
import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


def run(script, *arguments):
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)


@pytest.mark.emoji_art
def test_emoji_retrieval_prints_its_table_and_draws_its_pictures(tmp_path):
    arguments = ("--loss", "gamma", "infonce", "--batch-size", 256, "--epochs", 1, "--seeds", 1, "--languages", "en,ja")
    done = run("emoji_retrieval.py", *arguments, "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    for words in ("drawing -> name", "name -> drawing", "drawing -> drawing", "flags", "times chance", "infonce"):
        assert words in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"names_found.png", "emoji_found.png"}


@pytest.mark.emoji_art
def test_emoji_retrieval_names_the_languages_it_knows():
    done = run("emoji_retrieval.py", "--languages", "en,xx")
    assert done.returncode != 0
    assert "xx? There are en, es" in done.stderr


def test_every_example_explains_itself():
    scripts = [path.name for path in EXAMPLES.glob("*.py")]
    assert scripts
    for script in scripts:
        assert "usage:" in run(script, "--help").stdout
