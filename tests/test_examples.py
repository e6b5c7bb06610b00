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


@pytest.mark.emoji_art
def test_information_gap_keeps_to_the_bound_and_draws_its_picture(tmp_path):
    done = run("information_gap.py", "--seeds", 1, "--epochs", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    lost = [line.split()[-3:] for line in done.stdout.splitlines() if line.endswith(("holds", "FAILS"))]
    assert [verdict for *_, verdict in lost] == ["holds"] * 4
    # The text says all, or one of the image's two bits; nothing is lost where all are one.
    assert [gap for gap, *_ in lost[:3]] == ["0.6931", "0.6931", "0.0000"]
    assert "alignment x 100" in done.stdout
    assert (tmp_path / "information_gap.png").exists()


@pytest.mark.emoji_art
def test_modality_structures_prints_its_table_and_draws_the_spaces(tmp_path):
    arguments = ("--kinds", "clip", "all", "--epochs", 1, "--seeds", 1, "--weights", 0.1)
    done = run("modality_structures.py", *arguments, "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    for words in ("drawing → name R@10", "zero-shot subgroup top-5", "linear probe, with independent", "modality gap"):
        assert words in done.stdout
    assert (tmp_path / "modality_structures.png").exists()


@pytest.mark.emoji_art
def test_augmented_views_draws_its_sheet(tmp_path):
    done = run("augmented_views.py", "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "augmented_views.png").exists()


def test_every_example_explains_itself():
    scripts = [path.name for path in EXAMPLES.glob("*.py")]
    assert scripts
    for script in scripts:
        assert "usage:" in run(script, "--help").stdout
