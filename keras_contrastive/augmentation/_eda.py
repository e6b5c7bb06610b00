"""Easy data augmentation of strings."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._draws import as_seed
from keras_contrastive._typing import Array, ArrayLike
from keras_contrastive.augmentation._eda_token_augmenter import (
    Operation,
    as_alpha,
    check_operations,
)

_PAPER_OPERATIONS: tuple[Operation, ...] = ("replacement", "insertion", "swap", "deletion")
_WITHOUT_SYNONYMS: tuple[Operation, ...] = ("swap", "deletion")


class EDA:
    """Makes random views of texts: replaces, inserts, swaps, deletes or masks words.

    Use it in a data pipeline, before the tokenizer. For token ids, use `EDATokenAugmenter` inside
    the model. Words are separated by white space, so a text without spaces is one word. A text
    that an operation cannot change is returned as it is. Every text with words keeps a word, and
    with several words at least one is not masked.

    Each call draws anew. A new object with the same seed repeats the sequence of views.

    Args:
        synonyms: `None`, or a dict from words to lists of their synonyms. The case of words in the
            text does not matter. A synonym may have several words.
        alpha: Float in (0, 1), the fraction of words that an operation changes, at least one word.
            For deletion, the probability of each word.
        operations: Some of `"replacement"`, `"insertion"` (of a synonym of a word, anywhere),
            `"swap"`, `"deletion"` and `"masking"`. The first two need `synonyms`. `None` selects
            the four operations of the paper, or swap and deletion if there are no synonyms.
        mask_token: Non-empty string that replaces a masked word.
        choose: `"one"` applies one random operation to each text. `"all"` applies all of them, in
            the order of `operations`.
        seed: Integer, or `None` to draw one from Python's `random`. `keras.utils.set_random_seed`
            seeds Python's `random`.

    Call arguments:
        texts: List, tuple or NumPy array of strings, of any shape.

    Returns:
        NumPy array of strings, of the same shape.

    Raises:
        TypeError: If texts are not strings, or a single string. If `synonyms` is not a dict of
            lists, or `alpha` not a number.
        ValueError: If `alpha` is outside (0, 1), or if operations are unknown or lack synonyms.

    Reference:
        - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196), Sec. 2. They recommend alpha = 0.1.
          They do not mask, make several views of each text, and remove stop words before they look
          for synonyms. Here, stop words are words without synonyms.

    Example:

    >>> eda = EDA(synonyms={"happy": ["glad"]}, operations=["replacement"])
    >>> eda(["a happy cat", "a dog"]).tolist()
    ['a glad cat', 'a dog']
    >>> EDA(operations=["swap"])(["upside down"]).tolist()
    ['down upside']
    """

    def __init__(
        self,
        synonyms: Mapping[str, Sequence[str]] | None = None,
        alpha: float = 0.1,
        operations: Sequence[Operation] | None = None,
        mask_token: str = "[MASK]",
        choose: Literal["one", "all"] = "one",
        seed: int | None = None,
    ) -> None:
        self.alpha = as_alpha(alpha)
        self.choose = _checks.one_of("choose", choose, ("one", "all"))
        if not isinstance(mask_token, str) or not mask_token.strip():
            raise ValueError(
                f"`mask_token` must be a non-empty string. Received: mask_token={mask_token!r}."
            )
        self.mask_token = mask_token
        self.synonyms = _as_synonyms(synonyms)
        if operations is None:
            operations = _PAPER_OPERATIONS if self.synonyms else _WITHOUT_SYNONYMS
        needs_synonyms = dict.fromkeys(("replacement", "insertion"), "synonyms")
        check_operations(operations, {} if self.synonyms else needs_synonyms)
        self.operations = tuple(operations)
        self.seed = as_seed(seed)
        self._random = random.Random(self.seed)

    def __call__(self, texts: ArrayLike) -> Array:
        if isinstance(texts, (str, bytes)):
            raise TypeError(
                f"`texts` must be a list or array of strings. Received: texts={texts!r}. "
                "Put the string into a list."
            )
        array = np.asarray(texts, dtype=object)
        for text in array.flat:
            if not isinstance(text, str):
                raise TypeError(
                    f"`texts` must be strings. Received: {text!r} of type {type(text).__name__}."
                )
        views = [self._view(text) for text in array.flat]
        return np.array(views, dtype=str).reshape(array.shape)

    def __repr__(self) -> str:
        arguments = f"alpha={self.alpha}, operations={self.operations}, choose={self.choose!r}"
        return f"EDA({arguments}, seed={self.seed})"

    def _view(self, text: str) -> str:
        words = text.split()
        if not words:
            return text
        chosen: Sequence[str] = self.operations
        if self.choose == "one":
            chosen = [self._random.choice(self.operations)]
        for operation in chosen:
            words = getattr(self, f"_{operation}")(words)
        return " ".join(words)

    def _amount(self, words: list[str]) -> int:
        return max(1, int(self.alpha * len(words)))

    def _synonym(self, word: str) -> str:
        return self._random.choice(self.synonyms[word.lower()])

    def _replacement(self, words: list[str]) -> list[str]:
        positions = [n for n, word in enumerate(words) if word.lower() in self.synonyms]
        chosen = self._random.sample(positions, min(self._amount(words), len(positions)))
        return [self._synonym(word) if n in chosen else word for n, word in enumerate(words)]

    def _insertion(self, words: list[str]) -> list[str]:
        sources = [word for word in words if word.lower() in self.synonyms]
        words = list(words)
        for _ in range(self._amount(words) if sources else 0):
            position = self._random.randint(0, len(words))
            words.insert(position, self._synonym(self._random.choice(sources)))
        return words

    def _swap(self, words: list[str]) -> list[str]:
        words = list(words)
        for _ in range(self._amount(words) if len(words) > 1 else 0):
            first, second = self._random.sample(range(len(words)), 2)
            words[first], words[second] = words[second], words[first]
        return words

    def _deletion(self, words: list[str]) -> list[str]:
        kept = [word for word in words if self._random.random() >= self.alpha]
        return kept or [self._random.choice(words)]

    def _masking(self, words: list[str]) -> list[str]:
        masked = self._random.sample(range(len(words)), min(self._amount(words), len(words) - 1))
        return [self.mask_token if n in masked else word for n, word in enumerate(words)]


def _as_synonyms(synonyms: Any) -> dict[str, list[str]]:
    expected = (
        "`synonyms` must be a dict from words to lists of their synonyms, all non-empty strings"
    )
    if synonyms is not None and not isinstance(synonyms, Mapping):
        raise TypeError(f"{expected}. Received: synonyms={synonyms!r}.")
    by_word: dict[str, list[str]] = {}
    for word, others in (synonyms or {}).items():
        is_list = isinstance(others, (list, tuple))
        if not is_list or not all(isinstance(text, str) for text in (word, *others)):
            raise TypeError(f"{expected}. Received: {word!r}: {others!r}.")
        if not all(text.strip() for text in (word, *others)):
            raise ValueError(f"{expected}. Received: {word!r}: {others!r}.")
        if others:
            by_word.setdefault(word.lower(), []).extend(others)
    return by_word
