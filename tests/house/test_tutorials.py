"""The pages of the tutorials belong to their sources. `tox run -e tutorials` runs them."""

import re

import numpy as np
import pytest

from tests.helpers.markdown import python_blocks, read
from tests.house.test_site import tool

tutorials = tool("tutorials")
NAMES = tutorials.names()
OUTPUT = r"(\n\n```text\n[^`]*\n```)?(\n\n!\[[^\]]+\]\(\w+\.png\))*"


def belongs(page, name):
    """Whether a page has the cells of a tutorial in order, and only outputs between them."""
    first, *rest = tutorials.cells(name)
    parts = [first.printed, tutorials.origin(name), *(cell.printed for cell in rest)]
    pattern = "".join(f"{OUTPUT if n > 1 else ''}\n\n{re.escape(p)}" for n, p in enumerate(parts))
    return re.fullmatch(pattern + OUTPUT + "\n", f"\n\n{page}") is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_page_belongs_to_its_source(name):
    page = read(tutorials.FOLDER / f"{name}.md")
    assert belongs(page, name), f"Run `tox run -e tutorials -- {name}`."
    last_code = tutorials.cells(name)[-1].printed
    assert not belongs(page.replace(last_code, last_code[:-4] + "0" + last_code[-4:]), name)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_figures(name):
    page = read(tutorials.FOLDER / f"{name}.md")
    files = {path.name for path in tutorials.FOLDER.glob(f"{name}_[0-9]*.png")}
    assert files
    assert set(re.findall(r"\((\w+\.png)\)", page)) == files


def test_each_page_has_a_source():
    pages = {path.stem for path in tutorials.FOLDER.glob("*.md")}
    assert pages == {*NAMES, "index"}


@pytest.mark.towers
def test_the_clip_of_the_page_trains_and_is_saved(rng, tmp_path, monkeypatch):
    """The page loads a published CLIP. Here, a small one with random weights takes its place."""
    import finetune_clip
    import keras_hub

    names = np.array(["a red apple", "a green pear", "two plums", "a cat"] * 4)
    clip, preprocess = finetune_clip.small("clip", names.tolist())
    before = [np.array(weights) for weights in clip.get_weights()]
    models = keras_hub.models
    monkeypatch.setattr(models.CLIPBackbone, "from_preset", lambda preset: clip)
    monkeypatch.setattr(models.CLIPPreprocessor, "from_preset", lambda preset: preprocess)
    monkeypatch.chdir(tmp_path)
    drawings = rng.integers(0, 256, (len(names), 96, 96, 3)).astype("uint8")
    (block,) = [
        block
        for block in python_blocks(tutorials.FOLDER / "finetune.md")
        if "CLIPBackbone" in block
    ]
    page = {"names": names, "drawings": drawings}
    exec(block, page)
    assert np.isfinite(page["clip_model"].history.history["loss"]).all()
    monkeypatch.undo()
    saved = models.Backbone.from_preset(str(tmp_path / "clip_emoji"))
    after = saved.get_weights()
    changed = [np.abs(a - b).max() > 0 for a, b in zip(after, before, strict=True)]
    assert 0 < sum(changed) < len(changed) / 2  # blocks of the text tower, and the temperature
