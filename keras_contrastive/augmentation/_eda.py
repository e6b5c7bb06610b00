"""Easy data augmentation of strings."""

import random

import numpy as np

from keras_contrastive._draws import as_seed
from keras_contrastive.augmentation._eda_token_augmenter import check_operations

_OPERATIONS = ("replacement", "insertion", "swap", "deletion", "masking")


class EDA:
    """Makes random views of texts by replacing, inserting, swapping, deleting or hiding words.

    For data pipelines, before the tokenizer; on token ids, inside the model, there is `EDATokenAugmenter`. Words are
    what white space separates: a text in a script without spaces is one word. A text that no operation can change
    comes back as it is, a text with words never comes back empty, and of several words one always remains unmasked.

    Each call draws anew. The same object made again with the same seed gives the same views in the same sequence.

    Args:
        synonyms: `None`, or a dict from words to lists of their synonyms. Upper and lower case of the words in the
            text do not matter; a synonym may be several words.
        alpha: In `(0, 1)`, the share of the words that an operation changes, at least one; for deletion, the
            probability of each word.
        operations: Some of `"replacement"`, `"insertion"` (of a synonym of a word, anywhere), which need `synonyms`,
            `"swap"`, `"deletion"` and `"masking"`. `None` takes the four of the paper, or those of them that need no
            synonyms if there are none.
        mask_token: Non-empty string, what a masked word becomes.
        choose: `"one"` operation for each text, with equal chance, or `"all"`, in the order of `operations`.
        seed: Integer, or `None` to draw one from Python's `random`, which `keras.utils.set_random_seed` seeds.

    Call arguments:
        texts: List, tuple or NumPy array of strings, of any shape.

    Returns:
        NumPy array of strings, of the same shape.

    Raises:
        TypeError: Texts that are not strings, or one string alone; synonyms that are not a dict of lists.
        ValueError: `alpha` outside `(0, 1)`, operations that are unknown or lack synonyms.

    Reference:
        - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196), Sec. 2; alpha = 0.1 is their advice.
          Masking is not theirs; they make several views of each text and remove stop words before they look for
          synonyms, here the table decides.

    Example:

    >>> eda = EDA(synonyms={"happy": ["glad"]}, operations=["replacement"])
    >>> eda(["a happy cat", "a dog"]).tolist()
    ['a glad cat', 'a dog']
    >>> EDA(operations=["swap"])(["upside down"]).tolist()
    ['down upside']
    """

    def __init__(
        self,
        synonyms=None,
        alpha=0.1,
        operations=None,
        mask_token="[MASK]",
        choose="one",
        seed=None,
    ):
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < 1:
            raise ValueError(
                f"`alpha` must be in (0, 1), the share of the words. Received: alpha={alpha!r}."
            )
        if choose not in ("one", "all"):
            raise ValueError(f'`choose` must be "one" or "all". Received: choose={choose!r}.')
        if not isinstance(mask_token, str) or not mask_token.strip():
            raise ValueError(
                f"`mask_token` must be a non-empty string. Received: mask_token={mask_token!r}."
            )
        self.synonyms = _as_synonyms(synonyms)
        if operations is None:
            operations = _OPERATIONS[0 if self.synonyms else 2 : 4]
        lacking = dict.fromkeys(("replacement", "insertion"), not self.synonyms)
        check_operations(operations, _OPERATIONS, lacking, "`synonyms`")
        self.alpha, self.operations, self.mask_token, self.choose = (
            alpha,
            tuple(operations),
            mask_token,
            choose,
        )
        self.seed = as_seed(seed)
        self._random = random.Random(self.seed)

    def __call__(self, texts):
        if isinstance(texts, (str, bytes)):
            raise TypeError(
                f"`texts` must be a list or array of strings. Received: {texts!r}. Put it into a list."
            )
        array = np.asarray(texts, dtype=object)
        for text in array.flat:
            if not isinstance(text, str):
                raise TypeError(
                    f"`texts` must be strings. Received: {text!r} of type {type(text).__name__}."
                )
        views = [self._view(text) for text in array.flat]
        return np.array(views, dtype=str).reshape(array.shape)

    def _view(self, text):
        words = text.split()
        if not words:
            return text
        operations = (
            [self._random.choice(self.operations)] if self.choose == "one" else self.operations
        )
        for operation in operations:
            words = getattr(self, f"_{operation}")(words)
        return " ".join(words)

    def _amount(self, words):
        return max(1, int(self.alpha * len(words)))

    def _synonym(self, word):
        return self._random.choice(self.synonyms[word.lower()])

    def _replacement(self, words):
        places = [place for place, word in enumerate(words) if word.lower() in self.synonyms]
        chosen = self._random.sample(places, min(self._amount(words), len(places)))
        return [
            self._synonym(word) if place in chosen else word for place, word in enumerate(words)
        ]

    def _insertion(self, words):
        known = [word for word in words if word.lower() in self.synonyms]
        words = list(words)
        for _ in range(self._amount(words) if known else 0):
            words.insert(
                self._random.randint(0, len(words)), self._synonym(self._random.choice(known))
            )
        return words

    def _swap(self, words):
        words = list(words)
        for _ in range(self._amount(words) if len(words) > 1 else 0):
            first, second = self._random.sample(range(len(words)), 2)
            words[first], words[second] = words[second], words[first]
        return words

    def _deletion(self, words):
        return [word for word in words if self._random.random() >= self.alpha] or [
            self._random.choice(words)
        ]

    def _masking(self, words):
        hidden = self._random.sample(range(len(words)), min(self._amount(words), len(words) - 1))
        return [self.mask_token if place in hidden else word for place, word in enumerate(words)]


def _as_synonyms(synonyms):
    expected = (
        "`synonyms` must be a dict from words to lists of their synonyms, all non-empty strings"
    )
    if synonyms is not None and not isinstance(synonyms, dict):
        raise TypeError(f"{expected}. Received: synonyms={synonyms!r}.")
    by_word: dict[str, list[str]] = {}
    for word, others in (synonyms or {}).items():
        if not isinstance(others, (list, tuple)) or not all(
            isinstance(w, str) for w in (word, *others)
        ):
            raise TypeError(f"{expected}. Received: {word!r}: {others!r}.")
        if not all(w.strip() for w in (word, *others)):
            raise ValueError(f"{expected}. Received: {word!r}: {others!r}.")
        if others:
            by_word.setdefault(word.lower(), []).extend(others)
    return by_word
