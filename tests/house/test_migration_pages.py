"""Pages for users of other libraries, of Keras' tools, and of methods: their code runs as printed.

Their tables say "yes" only for values that a test compares.
"""

import functools
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import ops

import keras_contrastive as kc
from tests.helpers.backend import COMPILE_LEAST, to_numpy
from tests.helpers.markdown import ROOT, python_blocks, read

FOLDER = ROOT / "docs" / "migrate"
KERAS_TOOLS = ROOT / "docs" / "keras_tools.md"
METHODS = ROOT / "docs" / "methods.md"
INDEX = FOLDER / "README.md"
PAGES = sorted({*FOLDER.glob("*.md")} - {INDEX})
each_page = pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
AGREEMENT = read(ROOT / "docs" / "agreement.md")
# Equal values that no row of `agreement.md` has, and the tests that compare them.
COMPARED = {
    **dict.fromkeys(
        ("ArcFaceLoss", "CosFaceLoss", "NormalizedSoftmaxLoss", "ProxyNCALoss"),
        "test_value_and_gradients_equal_pytorch_metric_learning",
    ),
    "CircleLoss": "test_circle_equals_pytorch_metric_learning",
    "contrastive_loss": "test_the_example_of_keras_io_has_these_values",
    "contrastive_accuracy": "test_the_example_of_keras_io_has_these_values",
    "AccuracyCalculator": "test_measures_equal_those_of_other_libraries",
    "InformationRetrievalEvaluator": "test_measures_equal_those_of_sentence_transformers",
}


def encoder(*layers, shape, dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers, keras.layers.Dense(8)])


def text_encoder():
    layers = keras.layers.Embedding(20, 4), keras.layers.GlobalAveragePooling1D()
    return encoder(*layers, shape=(5,), dtype="int32")


@pytest.fixture
def names(rng, monkeypatch, tmp_path):
    """The names that pages use."""
    quick = functools.partialmethod(keras.Model.compile, **COMPILE_LEAST)
    monkeypatch.setattr(keras.Model, "compile", quick)
    monkeypatch.chdir(tmp_path)
    shape = (6, 6, 3)
    images = ("images", "test_images", "unlabeled_images")
    texts = ("texts", "queries", "passages", "negatives")
    return {
        **{name: rng.uniform(0, 255, size=(16, *shape)).astype("float32") for name in images},
        **{name: rng.integers(20, size=(16, 5)) for name in texts},
        **{name: np.arange(16) % 4 for name in ("labels", "test_labels")},
        **{
            name: encoder(keras.layers.Flatten(), shape=shape)
            for name in ("encoder", "image_encoder", "student")
        },
        "text_encoder": text_encoder(),
    }


def run(page, names):
    for number, block in enumerate(python_blocks(page)):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)


@pytest.mark.slow_to_compile
@each_page
def test_the_code_of_a_page_runs(page, names):
    run(page, names)
    measures = names.get("measures", {})
    assert all(np.isfinite(value) for value in measures.values())
    if page.stem in ("keras_io_simclr", "keras_cv"):
        probed = [name for name in names["model"].history.history if "top_1_accuracy" in name]
        assert len(probed) == 1
    if page.stem == "sentence_transformers":
        assert names["vectors"].shape == (16, 4)
        assert names["rows"].shape == (16, 3)
    if page.stem == "open_clip":
        assert "temperature" in names["history"].history


@pytest.mark.slow_to_compile
def test_the_tools_of_keras_work_with_a_trainer(names):
    run(KERAS_TOOLS, names)
    assert len(names["history"].history["loss"]) == 2
    assert names["optimizer"].iterations == 2
    assert names["vectors"].dtype == "float32"
    kernel = names["image_encoder"].layers[-1]
    assert kernel.lora_enabled
    np.testing.assert_allclose(
        names["loaded"].predict(names["x"], verbose=0)["image"],
        names["model"].predict(names["x"], verbose=0)["image"],
        atol=1e-5,
    )
    np.testing.assert_allclose(
        names["same"].predict(names["images"], verbose=0),
        names["embedder"].predict(names["images"], verbose=0),
        atol=1e-5,
    )


@pytest.mark.slow_to_compile
def test_byol_of_the_page_of_methods_runs(names):
    run(METHODS, names)
    assert names["features"].shape == (16, 8)
    assert set(names["model"].history.history) == {"loss", "effective_rank"}


def test_the_index_lists_every_page():
    linked = re.findall(r"\]\((\w+\.md)\)", read(INDEX))
    assert sorted(linked) == [page.name for page in PAGES]


def rows_with_equal_values(page):
    """Returns the first cells of the rows whose third cell starts with "yes"."""
    rows = re.findall(r"^\| (.*?) \| .*? \| yes[^|]*\|$", read(page), flags=re.MULTILINE)
    return [row for row in rows if row != "yes"]


@each_page
def test_equal_values_are_compared_by_a_test(page):
    unknown = []
    for row in rows_with_equal_values(page):
        first = re.findall(r"`(?:\w+\.)*(\w+)", row)[0]
        compared = re.findall(rf"^\|.*\b{first}\b.*\| equal \|.*$", AGREEMENT, flags=re.MULTILINE)
        if not compared and first not in COMPARED:
            unknown.append(row)
    assert unknown == []


def test_the_tests_that_compare_exist():
    folder = ROOT / "tests" / "conformance"
    files = folder / "test_retrieval.py", folder / "test_proxies.py", pathlib.Path(__file__)
    tests = "".join(map(read, files))
    assert [name for name in COMPARED.values() if f"def {name}(" not in tests] == []


def test_most_pages_have_equal_values():
    counts = {page.stem: len(rows_with_equal_values(page)) for page in PAGES}
    assert [name for name, count in counts.items() if not count] == ["libauc"]


@pytest.mark.slow_to_compile
def test_the_example_of_keras_io_has_these_values(rng):
    # Both directions of a softmax over the other view, and the share of correct predictions.
    first, second = (ops.convert_to_tensor(x) for x in rng.normal(size=(2, 9, 4)).astype("float32"))
    unit = ops.normalize(first, axis=1), ops.normalize(second, axis=1)
    logits = ops.matmul(unit[0], ops.transpose(unit[1])) / 0.1
    labels, losses, hits = ops.arange(9), [], []
    for scores in (logits, ops.transpose(logits)):
        losses.append(ops.sparse_categorical_crossentropy(labels, scores, from_logits=True))
        hits.append(to_numpy(ops.argmax(scores, axis=1)) == np.arange(9))
    expected = np.mean([to_numpy(loss) for loss in losses])
    assert float(kc.losses.InfoNCE(0.1)(None, (first, second))) == pytest.approx(expected, rel=1e-5)
    metric = kc.metrics.RecallAtK(1)
    metric.update_state(None, ops.stack([first, second], axis=1))
    assert float(metric.result()) == pytest.approx(np.mean(hits))
