"""Real data as arrays, from installed packages."""

from keras_contrastive.datasets._emoji import (
    ATTRIBUTION,
    LANGUAGES,
    SPLITS,
    STYLES,
    Emoji,
    family_of,
    load_emoji,
)

__all__ = [
    "ATTRIBUTION",
    "Emoji",
    "family_of",
    "LANGUAGES",
    "load_emoji",
    "SPLITS",
    "STYLES",
]


def __dir__() -> list[str]:
    return __all__
