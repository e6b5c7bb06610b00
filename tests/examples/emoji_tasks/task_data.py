"""Emoji for the tests of the tasks: made up, or the real ones."""

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
    """Character, name, group, subgroup and family of each."""
    number = itertools.count(0xE000)  # for private use: what is drawn there is nobody's business
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
    """A few of everything, each drawing in one color of its own; each family on a side, in turn."""
    characters, names, group, subgroup, family = (
        np.array(column) for column in zip(*_rows(), strict=True)
    )
    order = list(dict.fromkeys(family.tolist()))
    colors = np.arange(2 * len(names)).reshape(-1, 2)
    images = np.stack([colors // 256, colors % 256, np.full_like(colors, 7)], axis=-1).astype(
        "uint8"
    )
    return Emoji(
        characters=characters,
        images=np.broadcast_to(images[:, :, None, None], (len(names), 2, 6, 6, 3)).copy(),
        texts={"en": names},
        group=group,
        subgroup=subgroup,
        family=family,
        is_flag=group == "flags",
        # Where the family is the answer, all are on the side of training.
        split=np.array(["train" if s in ("time", "keycap", "person", "country-flag") else SIDES[order.index(f) % 3]
                        for f, s in zip(family, subgroup, strict=True)]),
    )  # fmt: skip


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("emoji")


@pytest.fixture(scope="session")
def real(cache_dir):
    return load_emoji(24, skin_tones=True, cache_dir=cache_dir, verbose=False)


@pytest.fixture(params=["made_up", pytest.param("real", marks=pytest.mark.emoji_art)])
def data(request):
    """The tests that take this hold for both."""
    return made_up() if request.param == "made_up" else request.getfixturevalue("real")


def assert_tells_nothing(what, task):
    """In each split, whatever `what` is, each label occurs equally often with it.

    Args:
        what: `(examples, ...)`; its rows are what is seen of an example.
        task: An `EmojiTask`.
    """
    rows = np.asarray(what).reshape(len(task), -1)
    _, seen = np.unique(rows, axis=0, return_inverse=True)
    for split in np.unique(task.split):
        chosen = task.split == split
        counts = np.zeros((seen.max() + 1, len(task.answers)), int)
        np.add.at(counts, (seen.ravel()[chosen], task.labels[chosen]), 1)
        assert (counts == counts[:, :1]).all(), (
            f"{split}: {counts[(counts != counts[:, :1]).any(axis=1)][:3]}"
        )
