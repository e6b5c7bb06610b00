"""The Python code in the documentation runs as printed."""

import pathlib
import re

import keras
import numpy as np
import pytest

from tests.house.test_architecture import MAY_IMPORT

ROOT = pathlib.Path(__file__).parent.parent.parent
EXTEND = ROOT / "docs" / "extend.md"
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])


def python_blocks(page):
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def extensions():
    """The names that the examples of `extend.md` define."""
    keras.utils.set_random_seed(0)
    names = {"__name__": "extend_md"}
    for number, block in enumerate(python_blocks(EXTEND)):
        exec(compile(block, f"{EXTEND.name}, block {number}", "exec"), names)
    return names


def test_examples_of_extensions_run_together(extensions):
    history = extensions["history"]
    expected = {"loss", "variance", "pair_cosine", "val_map_at_r"}
    assert expected <= set(history)
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
    kc = extensions["kc"]
    margin, info_nce = extensions["MarginContrastive"](0.5, margin=0.0), kc.losses.InfoNCE(0.5)
    assert float(margin(None, views)) == pytest.approx(float(info_nce(None, views)), abs=1e-5)


def test_rows_without_a_modality_do_not_change_the_regularizer_of_the_example(extensions, rng):
    z = rng.normal(size=(6, 4)).astype("float32")
    present = {"image": np.array([True, True, False, True, False, True])}
    layer = extensions["VarianceRegularizer"]()
    kept = z[present["image"]]
    expected = float(layer.penalty({"image": kept, "text": kept}))
    views = {"image": np.where(present["image"][:, None], z, np.nan), "text": z}
    masks = {**present, "text": present["image"]}
    assert float(layer.penalty(views, present=masks)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_between_pages_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", text):
        linked = (page.parent / target) if target else page
        assert linked.exists(), target
        if anchor:
            assert anchor in headings(linked), f"{target}#{anchor}"


def headings(page):
    """The anchors of the headings of a page, as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_contributors_find_every_subpackage():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [name for name in MAY_IMPORT if f"`{name}`" not in text] == []


def test_contributors_find_the_files_that_are_named():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:keras_contrastive|tests)/[\w/.]*)`", text)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
