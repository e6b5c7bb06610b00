"""Real data as arrays, from installed packages."""

from keras_contrastive.datasets._emoji import (
    ATTRIBUTION,
    LANGUAGES,
    STYLES,
    Emoji,
    load_emoji,
)
from keras_contrastive.datasets._emoji_families import family_of
from keras_contrastive.datasets._glyphs import Glyphs, load_glyphs
from keras_contrastive.datasets._icon_loader import load_icons
from keras_contrastive.datasets._icons import Icons
from keras_contrastive.datasets._splits import SPLITS, split_families
from keras_contrastive.datasets._words import Words, load_words

__all__ = [
    "ATTRIBUTION",
    "LANGUAGES",
    "SPLITS",
    "STYLES",
    "Emoji",
    "Glyphs",
    "Icons",
    "Words",
    "family_of",
    "load_emoji",
    "load_glyphs",
    "load_icons",
    "load_words",
    "split_families",
]


def __dir__() -> list[str]:
    return __all__
