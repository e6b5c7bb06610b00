"""Questions about a drawing."""

import re

import numpy as np
import pytest
from emoji_tasks import facts
from emoji_tasks.categories import KINDS
from emoji_tasks.questions import WORDINGS, answers_of, ask

KINDS_ABOUT_THE_FAMILY = {"hair", "clock", "key", "country"}


def answer_texts(task):
    return np.array(task.answers)[task.labels]


def test_label_is_the_answer_of_the_drawing(data):
    task = ask(data, "twemoji", 10, 0)
    items = task.item[task.cells[:, 0, 0]]
    for kind in WORDINGS:
        chosen = task.kind == kind
        np.testing.assert_array_equal(
            answer_texts(task)[chosen], answers_of(data, kind)[items[chosen]]
        )
        assert set(task.texts[chosen]) == set(WORDINGS[kind])


def test_each_wording_belongs_to_one_kind():
    wordings = [wording for several in WORDINGS.values() for wording in several]
    assert len(set(wordings)) == len(wordings) == 44
    assert all(wording.endswith("?") and wording[0].isupper() for wording in wordings)


def test_question_alone_tells_nothing_outside_training(data):
    task = ask(data, "twemoji", 10, 0)
    checked = 0
    for split in set(task.split) - {"train"}:
        for text in set(task.texts[task.split == split]):
            _, counts = np.unique(
                task.labels[(task.split == split) & (task.texts == text)], return_counts=True
            )
            assert len(counts) > 1
            assert len(set(counts)) == 1, (split, text, counts)
            checked += 1
    assert checked > 50


def test_every_answer_occurs_in_training(data):
    task = ask(data, "twemoji", 10, 0)
    learned = set(
        zip(task.kind[task.split == "train"], task.labels[task.split == "train"], strict=True)
    )
    assert set(zip(task.kind, task.labels, strict=True)) == learned
    assert set(task.labels) == set(range(len(task.answers)))
    assert len(set(task.answers)) == len(task.answers)


def test_questions_about_the_family_are_not_asked_for_unseen_families(data):
    task = ask(data, "twemoji", 10, 0)
    for kind in WORDINGS:
        splits = set(task.split[task.kind == kind])
        if kind in KINDS_ABOUT_THE_FAMILY:
            assert splits == {"train", "test_style"}
        else:
            assert (
                splits == {"train", "validation", "test_family", "test_style", "test_both"}
                or kind == "direction"
            )


def test_no_question_is_asked_twice_for_a_drawing(data):
    task = ask(data, "twemoji", 10, 0)
    assert len(set(zip(task.texts, task.cells[:, 0, 0], strict=True))) == len(task)


@pytest.mark.parametrize("most", [1, 3])
def test_most_limits_the_examples_with_the_same_answer(data, most):
    task = ask(data, "twemoji", most, 0)
    _, counts = np.unique(
        np.stack([task.split, task.texts, answer_texts(task)]), axis=1, return_counts=True
    )
    assert counts.max() == most


# Real emoji


@pytest.mark.emoji_art
@pytest.mark.parametrize(
    ("kind", "name", "answer"),
    [
        ("skin tone", "waving hand dark skin tone", "dark"),
        ("skin tone", "woman astronaut medium-light skin tone", "medium-light"),
        ("skin tone", "waving hand", ""),
        ("skin tone", "person in bed light skin tone", ""),
        ("gender", "woman teacher dark skin tone", "woman"),
        ("gender", "man judge", "man"),
        ("gender", "teacher", ""),
        ("gender", "woman golfing", ""),
        ("hair", "man curly hair", "curly"),
        ("hair", "woman medium skin tone bald", "bald"),
        ("hair", "person blond hair", "blond"),
        ("clock", "three o’clock", "three o'clock"),
        ("clock", "eleven-thirty", "half past eleven"),
        ("clock", "alarm clock", ""),
        ("key", "keycap 3", "3"),
        ("key", "keycap 10", "10"),
        ("direction", "left arrow", "left"),
        ("direction", "backhand index pointing down medium skin tone", "down"),
        ("direction", "play button", "right"),
        ("color", "red heart", "red"),
        ("color", "purple circle", "purple"),
        ("color", "orange book", "orange"),
        ("color", "green salad", ""),
        ("country", "France", "France"),
        ("country", "Japan", "Japan"),
        ("animal", "owl", "a bird"),
        ("animal", "fox", "a mammal"),
        ("animal", "dolphin", ""),
        ("food", "strawberry", "a fruit"),
        ("thing", "guitar", ""),
        ("thing", "ambulance", "a vehicle"),
        ("thing", "butterfly", "an animal"),
        ("thing", "winking face", "a smiley"),
    ],
)
def test_selected_answers_are_right(real, kind, name, answer):
    (row,) = np.flatnonzero(real.texts["en"] == name)
    assert answers_of(real, kind)[row] == answer


@pytest.mark.emoji_art
def test_answers_agree_with_the_names(real):
    names = real.texts["en"]

    def named(kind):
        answers = answers_of(real, kind)
        return [(answers[row], names[row]) for row in np.flatnonzero(answers != "")]

    for tone, name in named("skin tone"):
        assert re.findall(r"(\S+) skin tone", name) == [tone]
    for gender, name in named("gender"):
        assert gender in name.split() or name.startswith(
            {"woman": "mermaid", "man": "merman"}[gender]
        )
    for hair, name in named("hair"):
        assert f"{hair} hair" in name or (hair == "bald" and "bald" in name)
    for time, name in named("clock"):
        hour = time.split()[-1] if time.startswith("half") else time.split()[0]
        assert name == (f"{hour}-thirty" if time.startswith("half") else f"{hour} o’clock")
    for key, name in named("key"):
        assert name == f"keycap {key}"
    for direction, name in named("direction"):
        named_directions = {
            word
            for word in ("up", "down", "left", "right")
            for part in name.split()
            if part.startswith(word)
        }
        assert named_directions <= {direction}
    assert len(named("skin tone")) > 1400
    assert len(named("gender")) > 400
    assert [len(named(kind)) for kind in ("hair", "clock", "key")] == [90, 24, 13]
    assert len(named("country")) > 230


@pytest.mark.emoji_art
def test_drawings_with_different_answers_are_different(real):
    pixels = real.images.astype("float32")
    for genders in facts.figures(real).values():
        for tone, woman in genders["woman"].items():
            man = genders["man"].get(tone)
            if man is not None:
                assert (np.abs(pixels[woman] - pixels[man]).mean(axis=(1, 2, 3)) > 1.5).all(), (
                    real.texts["en"][man]
                )
    for kind, least in (("country", 0.3), ("clock", 0.5), ("key", 0.5)):
        rows = np.flatnonzero(answers_of(real, kind) != "")
        for style in (0, 1):
            flat = pixels[rows, style].reshape(len(rows), -1)
            distances = np.array([np.abs(flat - one).mean(axis=1) for one in flat])
            np.fill_diagonal(distances, np.inf)
            first, second = np.unravel_index(distances.argmin(), distances.shape)
            assert distances.min() > least, (real.texts["en"][rows[[first, second]]], style)


@pytest.mark.emoji_art
def test_excluded_names_exist(real):
    for kind in KINDS.values():
        names = set(real.texts["en"][np.isin(real.subgroup, kind.subgroups)])
        assert kind.without | kind.several | kind.only <= names
