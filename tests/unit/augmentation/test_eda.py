"""EDA of strings: operations, randomness, types and errors."""

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
# Words of synonyms, and the mask.
ADDED = {"glad", "full", "of", "joy", "kitten", "[MASK]"}
OPERATIONS = ("replacement", "insertion", "swap", "deletion", "masking")
texts_of_words = st.lists(st.sampled_from(["a", "b", "cat", "HAPPY", "東京"]), max_size=12).map(
    " ".join
)


def only(operation, **kwargs):
    return EDA(SYNONYMS, operations=[operation], **kwargs)


def test_equal_seeds_give_equal_sequences_of_views():
    one, again = EDA(SYNONYMS, seed=3), EDA(SYNONYMS, seed=3)
    sequence = [one(TEXTS).tolist() for _ in range(5)]
    assert [again(TEXTS).tolist() for _ in range(5)] == sequence
    assert len({tuple(views) for views in sequence}) > 1
    assert [EDA(SYNONYMS, seed=4)(TEXTS).tolist() for _ in range(5)] != sequence


def test_the_seed_of_keras_determines_a_missing_seed():
    keras.utils.set_random_seed(1)
    first, second = EDA(), EDA()
    keras.utils.set_random_seed(1)
    assert EDA().seed == first.seed != second.seed


def test_a_pickled_copy_continues_the_sequence():
    eda = EDA(SYNONYMS, seed=0)
    eda(TEXTS)
    copy = pickle.loads(pickle.dumps(eda))
    assert copy(TEXTS).tolist() == eda(TEXTS).tolist()


@pytest.mark.parametrize(
    "container", [list, tuple, np.array, lambda texts: np.array(texts, dtype=object)]
)
def test_every_container_of_strings_gives_an_array_of_strings(container):
    views = EDA(SYNONYMS, seed=0)(container(TEXTS))
    assert isinstance(views, np.ndarray)
    assert views.dtype.kind == "U"
    assert views.tolist() == EDA(SYNONYMS, seed=0)(TEXTS).tolist()


def test_views_have_the_shape_of_the_texts():
    assert EDA()(np.array([["a b", "c d"], ["e f", "g"], ["", "h i"]])).shape == (3, 2)
    assert EDA()([]).shape == (0,)


@pytest.mark.parametrize("choose", ["one", "all"])
@hypothesis.given(texts=st.lists(texts_of_words, max_size=4), seed=st.integers(0, 1000))
def test_a_text_with_words_keeps_an_unmasked_word(choose, texts, seed):
    eda = EDA(SYNONYMS, alpha=0.9, operations=OPERATIONS, choose=choose, seed=seed)
    for text, view in zip(texts, eda(texts).tolist(), strict=True):
        assert bool(view) == bool(text)
        assert set(view.split()) - set(text.split()) <= ADDED
        if text:
            assert set(view.split()) != {"[MASK]"}


@hypothesis.given(text=texts_of_words, seed=st.integers(0, 1000))
def test_each_operation_makes_its_change_and_no_other(text, seed):
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
    with_synonyms = sum(word.lower() in ("cat", "happy") for word in before)
    replaced = collections.Counter(before) - collections.Counter(after["replacement"])
    assert sum(replaced.values()) == min(amount, with_synonyms)


def test_replacement_ignores_the_case_of_a_word():
    views = only("replacement", alpha=0.9, seed=0)(["HAPPY dog", "Cat"] * 50)
    assert set(views.tolist()) == {"glad dog", "full of joy dog", "kitten"}


def test_insertion_uses_every_position():
    views = only("insertion", seed=0)(["a cat"] * 100)
    assert set(views.tolist()) == {"kitten a cat", "a kitten cat", "a cat kitten"}


def test_a_swap_uses_two_different_positions():
    assert set(only("swap", seed=0)(["a b"] * 50).tolist()) == {"b a"}
    assert set(only("swap", seed=0)(["a b c"] * 100).tolist()) == {"b a c", "c b a", "a c b"}


def test_alpha_is_the_probability_of_a_deletion():
    views = only("deletion", alpha=0.2, seed=0)(["a b c d e f g h i j"] * 2000)
    kept = [len(view.split()) for view in views]
    assert abs(np.mean(kept) / 10 - 0.8) < 5 * np.sqrt(0.2 * 0.8 / 20000)


def test_choose_applies_one_operation_or_all():
    text, operations = "one happy two three four", ("replacement", "masking")
    views = EDA(SYNONYMS, operations=operations, seed=0)([text] * 400).tolist()
    masked = np.array(["[MASK]" in view for view in views])
    replaced = np.array(["happy" not in view for view in views]) & ~masked
    assert np.all(masked | replaced)
    assert abs(replaced.mean() - 0.5) < 5 * 0.5 / 20
    for view in EDA(SYNONYMS, operations=operations, choose="all", seed=0)([text] * 20).tolist():
        assert "[MASK]" in view
        assert "happy" not in view


def test_the_default_operations_are_those_of_the_paper():
    assert EDA(SYNONYMS).operations == OPERATIONS[:4]
    assert EDA().operations == ("swap", "deletion")
    assert EDA({"a": []}).operations == ("swap", "deletion")


WRONG_ARGUMENTS = [
    ({"alpha": 0}, ValueError, r"`alpha` must be a number in \(0, 1\)"),
    ({"alpha": "a"}, TypeError, r"`alpha` must be a number in \(0, 1\)"),
    ({"choose": "some"}, ValueError, "`choose` must be one of 'one', 'all'"),
    ({"mask_token": " "}, ValueError, "`mask_token` must be a non-empty string"),
    ({"operations": ["shuffle"]}, ValueError, "`operations` must be a list of some of"),
    ({"operations": "swap"}, ValueError, "`operations` must be a list of some of"),
    ({"operations": ["swap", "swap"]}, ValueError, "each once"),
    ({"operations": ["replacement"]}, ValueError, "'replacement' without `synonyms`"),
    ({"synonyms": ["cat"]}, TypeError, "`synonyms` must be a dict"),
    ({"synonyms": {"cat": "kitten"}}, TypeError, "Received: 'cat': 'kitten'"),
    ({"synonyms": {"cat": [3]}}, TypeError, "`synonyms` must be a dict"),
    ({"synonyms": {"cat": [""]}}, ValueError, "non-empty strings"),
    ({"seed": 0.5}, TypeError, "`seed` must be an integer"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), WRONG_ARGUMENTS)
def test_wrong_arguments_raise_with_the_reason(arguments, error, message):
    with pytest.raises(error, match=message):
        EDA(**arguments)


@pytest.mark.parametrize("texts", ["a cat", b"a cat"])
def test_a_single_text_raises(texts):
    with pytest.raises(TypeError, match="Put the string into a list"):
        EDA()(texts)


@pytest.mark.parametrize("texts", [[1, 2], [b"a"], ["a", None], np.zeros(3)])
def test_texts_that_are_not_strings_raise(texts):
    with pytest.raises(TypeError, match="`texts` must be strings"):
        EDA()(texts)


def test_repr_shows_the_arguments():
    expected = "EDA(alpha=0.1, operations=('swap', 'deletion'), choose='one', seed=3)"
    assert repr(EDA(seed=3)) == expected
