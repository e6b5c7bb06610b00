"""The page "Embed, search, serve": its code runs as printed."""

import keras
import numpy as np
import pytest

from tests.helpers.export import exporting
from tests.helpers.markdown import ROOT, python_blocks

pytestmark = pytest.mark.slow_to_compile
PAGE = ROOT / "docs" / "embed_search_serve.md"
SEARCH, FIGURE, LONGER, ON_TENSORFLOW, ON_PYTORCH = python_blocks(PAGE)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The names that the first block defines, in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        keras.utils.set_random_seed(0)
        names = {}
        exec(SEARCH, names)
        yield names


def test_neighbors_have_the_right_label(names):
    nearest = names["labels"][names["known"]][names["rows"][:, 0]]
    right = np.mean(nearest == names["labels"][names["new"]])
    assert names["measures"]["hit_rate_at_1"] == pytest.approx(right, abs=1e-6)
    assert right > 0.9


def test_vectors_are_stored(names):
    np.testing.assert_array_equal(np.load("corpus.npy"), names["corpus"])


@pytest.mark.viz
def test_the_figure_marks_correct_neighbors(names):
    exec(FIGURE, names)
    assert "neighbors are correct" in names["figure"].get_suptitle()


def test_a_loaded_trainer_continues(names):
    exec(LONGER, names)
    longer = names["longer"]
    assert longer.history.epoch == list(range(20, 30))
    assert int(longer.optimizer.iterations) == 30 * 6


@exporting
@pytest.mark.skipif(keras.backend.backend() == "jax", reason="export on JAX needs TensorFlow")
def test_the_exported_program_returns_the_same_vectors(names):
    exec({"tensorflow": ON_TENSORFLOW, "torch": ON_PYTORCH}[keras.backend.backend()], names)
    np.testing.assert_allclose(names["vectors"], names["queries"], atol=1e-5)
