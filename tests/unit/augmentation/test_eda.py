"""Texts change by one operation, never to nothing, and again in the same way."""

import collections
import pickle

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest

from keras_contrastive.augmentation import EDA

SYNONYMS = {"Happy": ["glad", "full of joy"], "cat": ["kitten"]}
TEXTS = [
    "a happy cat",
    "one two three four five six seven eight nine ten",
    "happy",
    "",
    "  ",
    "猫の顔",
]
OPERATIONS = ("replacement", "insertion", "swap", "deletion", "masking")
words = st.lists(st.sampled_from(["a", "b", "cat", "HAPPY", "東京"]), max_size=12).map(" ".join)


def only(operation, **kwargs):
    return EDA(SYNONYMS, operations=[operation], **kwargs)


def test_the_same_seed_gives_the_same_sequence():
    one, again = EDA(SYNONYMS, seed=3), EDA(SYNONYMS, seed=3)
    sequence = [one(TEXTS).tolist() for _ in range(5)]
    assert [again(TEXTS).tolist() for _ in range(5)] == sequence
    assert len({tuple(views) for views in sequence}) > 1
    assert [EDA(SYNONYMS, seed=4)(TEXTS).tolist() for _ in range(5)] != sequence


def test_keras_fixes_the_seed_that_is_not_given():
    keras.utils.set_random_seed(1)
    first, second = EDA(), EDA()
    keras.utils.set_random_seed(1)
    assert EDA().seed == first.seed != second.seed


def test_a_copy_goes_on_where_it_was_copied():
    eda = EDA(SYNONYMS, seed=0)
    eda(TEXTS)
    copy = pickle.loads(pickle.dumps(eda))
    assert copy(TEXTS).tolist() == eda(TEXTS).tolist()


@pytest.mark.parametrize(
    "container", [list, tuple, np.array, lambda texts: np.array(texts, dtype=object)]
)
def test_lists_and_arrays_of_strings_become_arrays_of_strings(container):
    views = EDA(SYNONYMS, seed=0)(container(TEXTS))
    assert isinstance(views, np.ndarray)
    assert views.dtype.kind == "U"
    assert views.tolist() == EDA(SYNONYMS, seed=0)(TEXTS).tolist()


def test_the_shape_stays():
    assert EDA()(np.array([["a b", "c d"], ["e f", "g"], ["", "h i"]])).shape == (3, 2)
    assert EDA()([]).shape == (0,)


@pytest.mark.parametrize("choose", ["one", "all"])
@hypothesis.given(texts=st.lists(words, max_size=4), seed=st.integers(0, 1000))
def test_no_text_becomes_empty(choose, texts, seed):
    eda = EDA(SYNONYMS, alpha=0.9, operations=OPERATIONS, choose=choose, seed=seed)
    for text, view in zip(texts, eda(texts).tolist(), strict=True):
        assert bool(view) == bool(text)
        assert set(view.split()) - set(text.split()) <= {
            "glad",
            "full",
            "of",
            "joy",
            "kitten",
            "[MASK]",
        }
        if text:
            assert set(view.split()) != {"[MASK]"}


@hypothesis.given(text=words, seed=st.integers(0, 1000))
def test_operations_do_what_they_are_named_for(text, seed):
    before = text.split()
    after = {name: only(name, alpha=0.4, seed=seed)([text])[0].split() for name in OPERATIONS}
    assert collections.Counter(after["swap"]) == collections.Counter(before)
    rest = iter(before)
    assert all(word in rest for word in after["deletion"])
    rest = iter(after["insertion"])
    assert all(word in rest for word in before)
    assert len(after["masking"]) == len(before)
    amount = max(1, int(0.4 * len(before)))
    assert after["masking"].count("[MASK]") == min(amount, max(len(before) - 1, 0))
    known = sum(word.lower() in ("cat", "happy") for word in before)
    gone = collections.Counter(before) - collections.Counter(after["replacement"])
    assert sum(gone.values()) == min(amount, known)


def test_a_word_is_replaced_by_one_of_its_synonyms_whatever_its_case():
    views = only("replacement", alpha=0.9, seed=0)(["HAPPY dog", "Cat"] * 50)
    assert set(views.tolist()) == {"glad dog", "full of joy dog", "kitten"}


def test_an_insertion_may_be_anywhere():
    views = only("insertion", seed=0)(["a cat"] * 100)
    assert set(views.tolist()) == {"kitten a cat", "a kitten cat", "a cat kitten"}


def test_a_swap_exchanges_two_different_places():
    assert set(only("swap", seed=0)(["a b"] * 50).tolist()) == {"b a"}
    assert set(only("swap", seed=0)(["a b c"] * 100).tolist()) == {"b a c", "c b a", "a c b"}


def test_a_deletion_takes_each_word_at_its_rate():
    left = [
        len(view.split())
        for view in only("deletion", alpha=0.2, seed=0)(["a b c d e f g h i j"] * 2000)
    ]
    assert abs(np.mean(left) / 10 - 0.8) < 5 * np.sqrt(0.2 * 0.8 / 20000)


def test_one_operation_or_all_of_them():
    text = "one happy two three four"
    one = EDA(SYNONYMS, operations=("replacement", "masking"), seed=0)([text] * 400)
    masked, replaced = (
        np.array([word in view for view in one.tolist()]) for word in ("[MASK]", "happy")
    )
    replaced = ~replaced & ~masked
    assert np.all(masked | replaced)
    assert abs(replaced.mean() - 0.5) < 5 * 0.5 / 20
    for view in EDA(SYNONYMS, operations=("replacement", "masking"), choose="all", seed=0)(
        [text] * 20
    ).tolist():
        assert "[MASK]" in view
        assert "happy" not in view


def test_the_operations_of_the_paper_are_the_default():
    assert EDA(SYNONYMS).operations == OPERATIONS[:4]
    assert EDA().operations == ("swap", "deletion")
    assert EDA({"a": []}).operations == ("swap", "deletion")


REFUSED = [
    ({"alpha": 0}, ValueError, r"`alpha` must be in \(0, 1\)"),
    ({"alpha": "a"}, ValueError, r"`alpha` must be in \(0, 1\)"),
    ({"choose": "some"}, ValueError, "`choose` must be"),
    ({"mask_token": " "}, ValueError, "`mask_token` must be a non-empty string"),
    ({"operations": ["shuffle"]}, ValueError, "`operations` must be a list of some of"),
    ({"operations": "swap"}, ValueError, "`operations` must be a list of some of"),
    ({"operations": ["swap", "swap"]}, ValueError, "each once"),
    ({"operations": ["replacement"]}, ValueError, "replacement, which needs `synonyms`"),
    ({"synonyms": ["cat"]}, TypeError, "`synonyms` must be a dict"),
    ({"synonyms": {"cat": "kitten"}}, TypeError, "Received: 'cat': 'kitten'"),
    ({"synonyms": {"cat": [3]}}, TypeError, "`synonyms` must be a dict"),
    ({"synonyms": {"cat": [""]}}, ValueError, "non-empty strings"),
    ({"seed": 0.5}, TypeError, "`seed` must be an integer"),
]


@pytest.mark.parametrize(("kwargs", "error", "message"), REFUSED)
def test_wrong_arguments_are_refused_with_a_reason(kwargs, error, message):
    with pytest.raises(error, match=message):
        EDA(**kwargs)


@pytest.mark.parametrize("texts", ["a cat", b"a cat"])
def test_one_text_alone_is_refused(texts):
    with pytest.raises(TypeError, match="Put it into a list"):
        EDA()(texts)


@pytest.mark.parametrize("texts", [[1, 2], [b"a"], ["a", None], np.zeros(3)])
def test_what_is_no_string_is_refused(texts):
    with pytest.raises(TypeError, match="`texts` must be strings"):
        EDA()(texts)
