"""Real data as arrays, from installed packages."""

from keras_contrastive.datasets._emoji import (
    ATTRIBUTION,
    LANGUAGES,
    SPLITS,
    STYLES,
    Emoji,
    load_emoji,
)
from keras_contrastive.datasets._emoji_families import family_of

__all__ = [
    "ATTRIBUTION",
    "LANGUAGES",
    "SPLITS",
    "STYLES",
    "Emoji",
    "family_of",
    "load_emoji",
]


def __dir__() -> list[str]:
    return __all__
