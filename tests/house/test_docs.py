"""The code in the documentation runs as printed. Its links and names exist."""

import operator
import re

import keras
import numpy as np
import pytest

import keras_contrastive
from tests.helpers.markdown import CONTRIBUTING, PAGES, ROOT, broken_links, python_blocks, read
from tests.house.test_architecture import MAY_IMPORT

EXTEND = ROOT / "docs" / "extend.md"


@pytest.fixture(scope="module")
def extensions():
    """The names that the examples of `extend.md` define."""
    keras.utils.set_random_seed(0)
    names = {"__name__": "extend_md"}
    for number, block in enumerate(python_blocks(EXTEND)):
        exec(compile(block, f"{EXTEND.name}, block {number}", "exec"), names)
    return names


def test_examples_of_extensions_train_together(extensions):
    history = extensions["history"]
    assert {"loss", "variance", "pair_cosine", "val_map_at_r"} <= set(history)
    assert all(np.isfinite(values).all() for values in history.values())


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("MarginContrastive", {"margin": 0.3, "temperature": 0.5}),
        ("SquaredDistance", {"normalize": False}),
        ("VarianceRegularizer", {"weight": 0.2}),
        ("PairCosine", {"name": "cosine"}),
        ("RandomInvert", {"rate": 0.1, "seed": 3}),
    ],
)
def test_examples_of_extensions_can_be_saved(extensions, name, config):
    original = extensions[name](**config)
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(original))
    assert type(loaded) is type(original)
    assert loaded.get_config() == original.get_config()
    assert config.items() <= loaded.get_config().items()


def test_margin_of_zero_gives_info_nce(extensions, rng):
    views = tuple(rng.normal(size=(2, 6, 4)).astype("float32"))
    margin = extensions["MarginContrastive"](0.5, margin=0.0)
    info_nce = extensions["kc"].losses.InfoNCE(0.5)
    assert float(margin(None, views)) == pytest.approx(float(info_nce(None, views)), abs=1e-5)


def test_rows_without_a_modality_do_not_change_the_regularizer(extensions, rng):
    z = rng.normal(size=(6, 4)).astype("float32")
    present = np.array([True, True, False, True, False, True])
    layer = extensions["VarianceRegularizer"]()
    expected = float(layer.penalty({"image": z[present], "text": z[present]}))
    views = {"image": np.where(present[:, None], z, np.nan), "text": z}
    penalty = layer.penalty(views, present={"image": present, "text": present})
    assert float(penalty) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_between_pages_lead_somewhere(page):
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One title\n[a](#one-title) [b](#two) [c](missing.md)", encoding="utf-8")
    assert broken_links(page) == ["#two", "missing.md#"]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_names_of_the_package_exist(page):
    missing = []
    for name in re.findall(r"\bkc\.((?:\w+\.)*\w+)", read(page)):
        try:
            operator.attrgetter(name)(keras_contrastive)
        except AttributeError:
            missing.append(name)
    assert missing == []


def test_contributors_find_every_subpackage():
    text = read(CONTRIBUTING)
    assert [name for name in MAY_IMPORT if f"`{name}`" not in text] == []


def test_contributors_find_the_files_that_are_named():
    named = re.findall(r"`((?:keras_contrastive|tests)/[\w/.]*)`", read(CONTRIBUTING))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
