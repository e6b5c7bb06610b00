"""Texts with characters that no font has."""

import pytest

from keras_contrastive.viz import _glyphs

pytestmark = pytest.mark.viz


@pytest.fixture
def _only_the_base_font(monkeypatch):
    base = _glyphs._fonts()[:1]
    monkeypatch.setattr(_glyphs, "_fonts", lambda: base)
    _glyphs._font_with.cache_clear()
    yield
    _glyphs._font_with.cache_clear()


@pytest.mark.usefixtures("_only_the_base_font")
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


def test_fonts_are_added_for_characters_that_the_base_font_lacks(monkeypatch):
    class Font:
        def get_char_index(self, code):
            return int(chr(code) == "六")

    fonts = [*_glyphs._fonts()[:1], ("Some CJK", Font())]
    monkeypatch.setattr(_glyphs, "_fonts", lambda: fonts)
    _glyphs._font_with.cache_clear()
    try:
        assert _glyphs.font_families(["six", "六"]) == ["DejaVu Sans", "Some CJK"]
        assert _glyphs.drawable("六") == "六"
        assert _glyphs.font_families(["six", "七"]) == ["DejaVu Sans"]
    finally:
        _glyphs._font_with.cache_clear()
