"""Texts with characters that no font has."""

import pytest

from keras_contrastive.viz import _glyphs

pytestmark = pytest.mark.viz


@pytest.fixture
def fonts(monkeypatch):
    """The files by family, at first only that of the base font."""
    files = dict(list(_glyphs._font_files().items())[:1])
    monkeypatch.setattr(_glyphs, "_font_files", lambda: files)
    _glyphs._font_with.cache_clear()
    yield files
    _glyphs._font_with.cache_clear()


@pytest.mark.usefixtures("fonts")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("naïve façade, семь, ✓ ✗ − …", "naïve façade, семь, ✓ ✗ − …"),
        ("cafe\u0301", "café"),  # a mark joins its letter
        ("六 is six", "? is six"),
        ("🦊", "[fox face]"),
        ("👩\u200d💻", "[woman]\u200d[personal computer]"),
        ("👩🏽", "[woman]"),
        ("🇩🇪", "DE"),
        (" two\n\tlines ", "two lines"),
    ],
)
def test_characters_without_a_glyph_are_replaced(text, expected):
    assert _glyphs.drawable(text).replace("\u200d", "") == expected.replace("\u200d", "")
    assert _glyphs.drawable(_glyphs.drawable(text)) == _glyphs.drawable(text)


def test_fonts_are_added_for_characters_that_the_base_font_lacks(fonts, monkeypatch):
    codes = _glyphs._codes_of
    monkeypatch.setattr(
        *(_glyphs, "_codes_of"), lambda path: [ord("六")] if path == "cjk" else codes(path)
    )
    fonts["Some CJK"] = "cjk"
    assert _glyphs.font_families(["six", "六"]) == ["DejaVu Sans", "Some CJK"]
    assert _glyphs.drawable("六 七") == "六 ?"
    assert _glyphs.font_families(["six", "七"]) == ["DejaVu Sans"]


def test_files_that_are_no_fonts_are_passed_over(fonts, tmp_path):
    fonts["Broken"] = str(tmp_path / "missing.ttf")
    assert _glyphs.drawable("六") == "?"
    assert list(_glyphs._codes_of(str(tmp_path / "missing.ttf"))) == []
