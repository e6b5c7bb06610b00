"""The examples run from end to end, started as a user starts them."""

import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent.parent / "examples"


def run(script, *arguments, **environment):
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )


# Without optimization, XLA trains an image encoder with mean and maximum pooling to NaN.
OPTIMIZED = {"XLA_FLAGS": "--xla_backend_optimization_level=1"}


def table(output, first):
    """Returns the numbers of a Markdown table by the name of the row, given its first cell."""
    lines = output[output.index(f"| {first}") :].split("\n\n")[0].splitlines()[2:]
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    return {
        name: [float(cell.split()[0].replace(",", "")) for cell in numbers if cell]
        for name, *numbers in cells
    }


@pytest.mark.emoji_art
def test_emoji_retrieval_prints_its_table_and_draws_its_figures(tmp_path):
    arguments = (
        "--quick",
        "--loss",
        "gamma",
        "infonce",
        "--batch-size",
        256,
        "--languages",
        "en,ja",
    )
    done = run("emoji_retrieval.py", *arguments, "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    for words in (
        "drawing -> name",
        "name -> drawing",
        "drawing -> drawing",
        "flags",
        "times chance",
        "infonce",
    ):
        assert words in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"names_found.png", "emoji_found.png"}


@pytest.mark.full
@pytest.mark.emoji_art
def test_emoji_retrieval_lists_the_languages_in_its_error():
    done = run("emoji_retrieval.py", "--languages", "en,xx")
    assert done.returncode != 0
    assert "xx? There are en, es" in done.stderr


@pytest.mark.full
@pytest.mark.emoji_art
def test_information_gap_confirms_the_bound_and_draws_its_figure(tmp_path):
    done = run("information_gap.py", "--quick", "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    lost = [
        line.split()[-3:] for line in done.stdout.splitlines() if line.endswith(("holds", "FAILS"))
    ]
    assert [verdict for *_, verdict in lost] == ["holds"] * 4
    # The text has all or one of the two bits of the image.
    assert [gap for gap, *_ in lost[:3]] == ["0.6931", "0.6931", "0.0000"]
    assert "alignment x 100" in done.stdout
    assert (tmp_path / "information_gap.png").exists()


@pytest.mark.full
@pytest.mark.emoji_art
def test_gamma_synthetic_reaches_the_optimum_and_infonce_does_not(tmp_path):
    done = run(
        "gamma_synthetic.py", "--quick", "--estimators", "InfoNCE", "gamma, mean", "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [
        line.strip("| ").split(" | ")
        for line in done.stdout.splitlines()
        if line.startswith(("| 0.5", "| 1"))
    ]
    assert [row[:2] for row in rows] == [["0.5", "8"], ["1", "8"]] * 2
    for _, _, infonce, gamma, *_ in rows[:2]:  # of a fixed positive
        assert abs(float(gamma.split()[0]) - 1) < 0.05 < float(infonce.split()[0]) - 1
    assert (tmp_path / "gamma_synthetic_quick.png").exists()
    assert len(json.loads((tmp_path / "gamma_synthetic_quick.json").read_text())) == 16


@pytest.mark.full  # it needs JAX
@pytest.mark.emoji_art
def test_gradient_bias_equals_the_prediction(tmp_path):
    done = run("../benchmarks/gradient_bias.py", "--quick", "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = dict(
        line.strip("| ").split(" | ", 1)
        for line in done.stdout.splitlines()
        if line.startswith("| ")
    )
    first = {
        name: float(cells.split()[0])
        for name, cells in rows.items()
        if cells[:1].isdigit() and "." in cells
    }
    assert first["decoupled"] == pytest.approx(first["decoupled, predicted"], rel=0.3)
    assert first["jackknife"] < first["decoupled"] / 2
    assert first["oracle"] < first["decoupled"] / 2
    assert (tmp_path / "gradient_bias_quick.png").exists()
    assert len(json.loads((tmp_path / "gradient_bias_quick.json").read_text())) == 2 * len(first)


@pytest.mark.full
@pytest.mark.emoji_art
def test_half_the_batch_compares_losses_over_the_batch_size(tmp_path):
    arguments = ("--quick", "--losses", "GammaContrastive, visits", "--out", tmp_path)
    done = run("../benchmarks/half_the_batch.py", *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    recall = done.stdout.partition("recall_at_10, mean")[2].partition("chosen:")[0]
    rows = [
        line.strip("| ").split(" | ")
        for line in recall.splitlines()
        if line.startswith("| ") and "±" in line
    ]
    assert [row[0] for row in rows] == [
        "InfoNCE",
        "DecoupledContrastive",
        "GammaContrastive, visits",
    ]
    for _, *cells in rows:
        assert [float(cell.split()[0]) > 3 * 10 / 345 for cell in cells] == [True, True]
    assert "reaches InfoNCE at a larger batch" in done.stdout
    assert (tmp_path / "half_the_batch.png").exists()


@pytest.mark.full
@pytest.mark.emoji_art
def test_gamma_defaults_prints_its_table():
    done = run("../benchmarks/gamma_defaults.py", "--quick")
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [
        line.strip("| ").split(" | ")
        for line in done.stdout.splitlines()
        if line.startswith("| ") and "±" in line
    ]
    assert [row[0] for row in rows] == ["InfoNCE", "decoupled", "jackknife", "gamma, visits"]


@pytest.mark.full
@pytest.mark.emoji_art
def test_less_data_gives_lower_recall(tmp_path):
    done = run("less_data.py", "--quick", "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = table(done.stdout, "share (emoji)")
    assert set(found) == {
        "InfoNCE",
        "DecoupledContrastive",
        "GammaContrastive",
        "GlobalContrastive",
    }
    assert all(eighth < whole for eighth, whole in found.values())
    assert (tmp_path / "less_data.png").exists()


@pytest.mark.full
@pytest.mark.emoji_art
def test_step_memory_prints_its_table_and_draws_its_figure(tmp_path):
    done = run("../benchmarks/step_memory.py", "--quick", "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = table(done.stdout, "small towers")
    assert {"direct logits", "GammaContrastive"} < set(found)
    assert all(mebibytes > 0 for mebibytes in found["direct logits"])
    assert list(tmp_path.glob("step_memory_*.png"))


@pytest.mark.full
@pytest.mark.emoji_art
def test_multilingual_searches_names_and_drawings():
    done = run("multilingual.py", "--quick", **OPTIMIZED)
    assert done.returncode == 0, done.stderr[-2000:]
    names, drawings = table(done.stdout, "R@10 | en"), table(done.stdout, "R@10 | Twemoji")
    assert list(names) == ["spelling", "English and one other"]
    assert all(0 < recall < 1 for found in (*names.values(), drawings["rows"]) for recall in found)
    assert "| ja |" in done.stdout


@pytest.mark.full
@pytest.mark.emoji_art
def test_modality_structures_prints_its_table_and_draws_the_spaces(tmp_path):
    done = run("modality_structures.py", "--quick", "--out", tmp_path, **OPTIMIZED)
    assert done.returncode == 0, done.stderr[-2000:]
    for words in (
        "drawing → name R@10",
        "zero-shot subgroup top-5",
        "linear probe, with independent",
        "modality gap",
    ):
        assert words in done.stdout
    assert "subgroup from 8, with independent" in done.stdout
    assert (tmp_path / "modality_structures.png").exists()


@pytest.mark.emoji_art
def test_augmented_views_draws_its_sheet(tmp_path):
    done = run("augmented_views.py", "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "augmented_views.png").exists()


@pytest.mark.towers
@pytest.mark.parametrize(
    ("model", "loss"),
    [
        ("clip", "GammaContrastive"),
        pytest.param("siglip", "SigmoidContrastive", marks=pytest.mark.full),
    ],
)
def test_finetune_clip_saves_a_backbone_for_keras_hub(model, loss, tmp_path):
    done = run("finetune_clip.py", "--quick", "--model", model, "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "read by keras-hub alone, gives the same embeddings" in done.stdout
    assert loss in done.stdout
    lines = {
        words: [line.split() for line in done.stdout.splitlines() if line.startswith(words)]
        for words in RECALLS
    }
    before, after, again = ([line[-4:] for line in lines[words]] for words in RECALLS)
    assert len(before) == len(after) == 2
    assert before != after == again
    assert_keras_hub_loads_it_without_this_package(next(tmp_path.iterdir()))


RECALLS = ("before", "after", "loaded again")


def assert_keras_hub_loads_it_without_this_package(folder):
    program = (
        "import sys, keras_hub; backbone = keras_hub.models.Backbone.from_preset(sys.argv[1]);"
        "assert backbone.count_params() > 0; assert 'keras_contrastive' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.full
@pytest.mark.towers
@pytest.mark.parametrize(
    ("packages", "kinds"),
    [("keras-hub", ["frozen", "unfrozen", "scratch"]), ("keras-cv", ["frozen", "unfrozen"])],
)
def test_finetune_towers_prints_its_table(packages, kinds):
    done = run(
        "finetune_towers.py", "--quick", "--seeds", 1, "--packages", packages, "--kinds", *kinds
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split()[:4] for line in done.stdout.splitlines() if "±" in line and "->" in line]
    assert [row[3] for row in rows] == kinds * 3


@pytest.mark.towers
def test_pretrained_towers_match_related_inputs():
    done = run("pretrained.py")
    assert done.returncode == 0, done.stderr[-2000:]
    food, stocks = (
        float(line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("    ")
    )
    assert food > stocks + 0.2
    similarities = np.array(
        re.findall(r"\d\.\d*", done.stdout.partition("pizzas:")[2]), "float"
    ).reshape(3, 3)
    same = np.eye(3, dtype="bool")
    assert similarities[same].mean() > similarities[~same].mean() + 0.05


USAGE = """
import contextlib, pathlib, runpy, sys
sys.path.insert(0, str(pathlib.Path(sys.argv[1]).parent))
for script in sys.argv[1:]:
    sys.argv = [script, "--help"]
    with contextlib.suppress(SystemExit):
        runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.slow_to_compile
def test_every_example_prints_its_usage():
    scripts = [*EXAMPLES.glob("*.py")]
    assert scripts
    command = [sys.executable, "-c", USAGE, *map(str, scripts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for script in scripts:
        assert f"usage: {script.name}" in done.stdout


@pytest.mark.emoji_art
def test_distributed_training_retrieves_names():
    devices = "--processes" if keras.backend.backend() == "torch" else "--devices"
    arguments = devices, 2, "--epochs", 1, "--batch-size", 256
    done = run(f"distributed_{keras.backend.backend()}.py", *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "128 rows of each batch" in done.stdout
    assert "R@10 among" in done.stdout


@pytest.mark.full
@pytest.mark.emoji_art
def test_micro_batches_do_not_change_the_loss_of_a_large_batch():
    done = run("large_batch.py", "--batch-size", 256, "--micro-batch-size", 100, 0)
    assert done.returncode == 0, done.stderr[-2000:]
    in_parts, at_once = (line.split() for line in done.stdout.splitlines()[-2:])
    assert (in_parts[0], at_once[0]) == ("100", "all")
    assert float(in_parts[-1]) == pytest.approx(float(at_once[-1]), rel=1e-4)


@pytest.mark.full
@pytest.mark.release
@pytest.mark.emoji_art
def test_fusion_tasks_prints_its_table_and_shows_answers(tmp_path):
    done = run("fusion_tasks.py", "--quick", "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [
        line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")
    ]
    table = {name: cells for name, *cells in rows}
    assert len(table["base"]) == 9
    assert all(0 <= float(cell) <= 1 for cell in table["base"])
    assert (tmp_path / "fusion_answers.png").exists()


@pytest.mark.full
@pytest.mark.emoji_art
def test_fusion_pretrain_saves_its_model(tmp_path):
    done = run("fusion_pretrain.py", "--quick", "--structure", "bridge", "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    for words in ("matching_accuracy", "bridge", "kind of a drawing of an unseen family"):
        assert words in done.stdout
    assert (tmp_path / "fusion_bridge.keras").exists()
