"""The pages of "Get started": their code runs, and their messages are those of the package."""

import functools
import re
import textwrap

import keras
import numpy as np
import pytest

from tests.helpers.backend import COMPILE_LEAST
from tests.helpers.markdown import ROOT, python_blocks, read

FOLDER = ROOT / "docs" / "get_started"
FIT = FOLDER / "fit.md"
IN_TABS = re.findall(
    r'^=== "([^"]+)"\n\n    ```python\n(.*?)^    ```', read(FIT), re.DOTALL | re.MULTILINE
)
TABS = {title: textwrap.dedent(code) for title, code in IN_TABS}
MISTAKES = re.findall(r"^\| `([^`]+)` \| `` (.+?) `` \|", read(FIT), re.MULTILINE)
BACKEND_OF_TAB = {"tf.data": "tensorflow", "DataLoader": "torch"}


def names_of(blocks):
    names = {}
    for block in blocks:
        exec(block, names)
    return names


@pytest.fixture(scope="module")
def fit_page():
    """The names of the first block of the page on `fit`, and the labels of its table."""
    with pytest.MonkeyPatch.context() as patch:
        quick = functools.partialmethod(keras.Model.compile, **COMPILE_LEAST)
        patch.setattr(keras.Model, "compile", quick)
        keras.utils.set_random_seed(0)
        names = names_of(python_blocks(FIT)[:1])
        names["labels"] = np.array(["cat", "dog"] * 50)
        yield names


@pytest.mark.slow_to_compile
def test_the_models_of_the_page_train(fit_page):
    for block in python_blocks(FIT)[1:]:
        exec(block, fit_page)
    for name in ("model", "simclr", "own"):
        assert np.isfinite(fit_page[name].history.history["loss"]).all()


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("title", list(TABS))
def test_data_sets_train(fit_page, title):
    if BACKEND_OF_TAB.get(title, keras.backend.backend()) != keras.backend.backend():
        pytest.skip("its package is not installed")
    exec(TABS[title], fit_page)
    assert np.isfinite(fit_page["model"].history.history["loss"]).all()


def test_the_page_has_three_kinds_of_data_sets_and_many_mistakes():
    assert list(TABS) == ["tf.data", "DataLoader", "PyDataset"]
    assert len(MISTAKES) > 10


@pytest.mark.every_case
@pytest.mark.parametrize(("call", "message"), MISTAKES)
def test_a_mistake_has_its_message(fit_page, call, message):
    pattern = re.escape(message).replace("…", ".*")
    with pytest.raises((TypeError, ValueError), match=pattern):
        eval(call, fit_page)


@pytest.mark.slow_to_compile
def test_predict_page():
    keras.utils.set_random_seed(0)
    names = names_of(python_blocks(FOLDER / "predict.md"))
    assert {name: rows.shape for name, rows in names["embeddings"].items()} == {
        "image": (5, 4),
        "text": (5, 4),
    }
    np.testing.assert_allclose(np.linalg.norm(names["vectors"], axis=1), 1, rtol=1e-5)
    assert names["features"].shape == (5, 8)


def quickstart(change):
    """Returns the printed hit rates and the names of the quickstart."""
    printed = []
    code, search = map(change, python_blocks(FOLDER / "quickstart.md"))
    keras.utils.set_random_seed(0)
    names = {"print": lambda *values: printed.append(str(values[0]))}
    exec(code, names)
    rates = [float(re.search(r": (\d\.\d\d)$", line)[1]) for line in printed]
    exec(search, names)
    return rates, names


@pytest.mark.slow_to_compile
def test_the_quickstart_improves():
    (before, after), names = quickstart(lambda code: code.replace("(0, 10)", "(0, 2)"))
    assert before < 0.06
    assert after > 3 * before
    assert names["rows"].shape == (597, 5)


@pytest.mark.full
def test_the_quickstart_reaches_the_printed_range():
    (before, after), _ = quickstart(lambda code: code)
    assert before <= 0.04
    assert 0.45 < after < 0.65


def test_the_quickstart_is_short():
    code = python_blocks(FOLDER / "quickstart.md")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
