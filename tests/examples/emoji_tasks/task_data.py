"""Emoji for the tests of the tasks: synthetic, or real."""

import functools
import itertools

import numpy as np
import pytest
from emoji_tasks.categories import KINDS

from keras_contrastive.datasets import Emoji, load_emoji

SIDES = ("train", "validation", "test")
TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
WOMAN, MAN = "\u200d\u2640\ufe0f", "\u200d\u2642\ufe0f"


def _rows():
    """Yields the character, name, group, subgroup and family of each emoji."""
    number = itertools.count(0xE000)  # code points for private use
    for kind in KINDS.values():
        names = sorted(kind.only - kind.several) or [f"{kind.many} {i}" for i in range(7)]
        for name in names if kind.subgroups else []:
            yield chr(next(number)), name, "things", kind.subgroups[0], name
    for i in range(9):
        base, name = chr(next(number)), f"worker {i}"
        for gender, word in (("", ""), (WOMAN, "woman "), (MAN, "man ")):
            for tone in ["", *TONES]:
                yield base + tone + gender, f"{word}{name}", "people-and-body", "person-role", name
    for hair in "\U0001f9b0\U0001f9b1\U0001f9b3\U0001f9b2":
        yield f"\U0001f469\u200d{hair}", "woman with hair", "people-and-body", "person", "person"
    for hour in range(24):
        yield chr(0x1F550 + hour), f"clock {hour}", "travel-and-places", "time", f"clock {hour}"
    for key in "0123456789":
        yield f"{key}\ufe0f\u20e3", f"keycap {key}", "symbols", "keycap", f"keycap {key}"
    for arrow in "\u2b06\U0001f53c\u23eb\u2b07\U0001f53d\u23ec\u2b05\u25c0\u23ea\u27a1\u25b6\u23e9":
        yield arrow, f"arrow {arrow}", "symbols", "arrow", arrow
    for shape in ("heart", "circle", "book"):
        for color in ("red", "green", "blue", "black"):
            yield chr(next(number)), f"{color} {shape}", "symbols", "geometric", f"{color} {shape}"
    for a, b in ("FR", "IT", "DE", "ES", "PT", "BE"):
        flag = chr(0x1F1E6 + ord(a) - 65) + chr(0x1F1E6 + ord(b) - 65)
        yield flag, f"country {a}{b}", "flags", "country-flag", flag


@functools.cache
def made_up():
    """Returns a few synthetic emoji of every kind.

    Each drawing has a color of its own. The families are on the three sides in turn.
    """
    characters, names, group, subgroup, family = (
        np.array(column) for column in zip(*_rows(), strict=True)
    )
    order = list(dict.fromkeys(family.tolist()))
    colors = np.arange(2 * len(names)).reshape(-1, 2)
    images = np.stack([colors // 256, colors % 256, np.full_like(colors, 7)], axis=-1).astype(
        "uint8"
    )
    # If the family is the answer, all emoji are on the side of training.
    sides = np.array([SIDES[order.index(name) % 3] for name in family])
    family_is_answer = np.isin(subgroup, ("time", "keycap", "person", "country-flag"))
    split = np.where(family_is_answer, "train", sides)
    return Emoji(
        characters=characters,
        images=np.broadcast_to(images[:, :, None, None], (len(names), 2, 6, 6, 3)).copy(),
        texts={"en": names},
        group=group,
        subgroup=subgroup,
        family=family,
        is_flag=group == "flags",
        split=split,
    )


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("emoji")


@pytest.fixture(scope="session")
def real(cache_dir):
    return load_emoji(24, skin_tones=True, cache_dir=cache_dir, verbose=False)


@pytest.fixture(params=["made_up", pytest.param("real", marks=pytest.mark.emoji_art)])
def data(request):
    """Synthetic and real emoji: tests that use this fixture hold for both."""
    return made_up() if request.param == "made_up" else request.getfixturevalue("real")


def assert_tells_nothing(values, task):
    """Asserts that, in each split, each label occurs equally often with each value.

    Args:
        values: `(examples, ...)`.
        task: An `EmojiTask`.
    """
    rows = np.asarray(values).reshape(len(task), -1)
    _, value_ids = np.unique(rows, axis=0, return_inverse=True)
    for split in np.unique(task.split):
        chosen = task.split == split
        counts = np.zeros((value_ids.max() + 1, len(task.answers)), int)
        np.add.at(counts, (value_ids.ravel()[chosen], task.labels[chosen]), 1)
        assert (counts == counts[:, :1]).all(), (
            f"{split}: {counts[(counts != counts[:, :1]).any(axis=1)][:3]}"
        )
