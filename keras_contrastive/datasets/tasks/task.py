"""What the tasks have in common: pictures, texts, labels, and the split."""

import dataclasses

import numpy as np

from keras_contrastive.datasets.emoji import STYLES
from keras_contrastive.datasets.tasks.pictures import compose

TASK_SPLITS = ("train", "validation", "test_family", "test_style", "test_both")
EMPTY, COVER = -1, -2  # in a place without a drawing, and under a grey card


@dataclasses.dataclass(frozen=True)
class EmojiTask:
    """Pictures with texts and labels; see `emoji_questions`, `emoji_comparisons` and `emoji_entailment`.

    The drawings are there once, however many examples show them; `images` composes the pictures of the examples that
    are asked for. The split of an example is one of

    | split | families of the emoji | drawing style |
    | --- | --- | --- |
    | `"train"` | of training | seen |
    | `"validation"` | others | seen |
    | `"test_family"` | others again | seen |
    | `"test_style"` | of training | unseen |
    | `"test_both"` | those of `"test_family"` | unseen |

    The families of a side are those that `load_emoji` puts there, so a model that was pre-trained on its training
    families, in the seen style alone, has seen nothing of the tests.

    Attributes:
        drawings: `(drawings, side, side, 3)` uint8, on white.
        item: `(drawings,)` int32, the row of the emoji in `load_emoji(skin_tones=True)`; both drawings of an emoji have
            the same. -1 is a drawing that is no emoji.
        family: `(drawings,)` of the emoji, as in `Emoji`.
        style: `(drawings,)` one of `STYLES`.
        cells: `(examples, pictures, places)` int32, the row of `drawings` in each place of each picture; -1 is empty.
        texts: `(examples,)` the question, statement or sentence.
        labels: `(examples,)` int32, a position in `answers`.
        answers: What the labels mean.
        kind: `(examples,)` what the text is about.
        split: `(examples,)` one of `TASK_SPLITS`.
    """

    drawings: np.ndarray
    item: np.ndarray
    family: np.ndarray
    style: np.ndarray
    cells: np.ndarray
    texts: np.ndarray
    labels: np.ndarray
    answers: tuple[str, ...]
    kind: np.ndarray
    split: np.ndarray

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, rows):
        """The chosen examples, by a slice, a mask or an index array; the drawings stay as they are.

        Example:

        >>> two = np.array(["train", "test_style"])
        >>> task = EmojiTask(*[np.zeros((1, 8, 8, 3), "uint8")] * 4, np.zeros((2, 1, 1), "int32"), two,
        ...                  np.zeros(2, "int32"), ("yes", "no"), two, two)
        >>> task[task.split == "train"].images().shape
        (1, 8, 8, 3)
        """
        chosen = {name: getattr(self, name)[rows] for name in ("cells", "texts", "labels", "kind", "split")}
        return dataclasses.replace(self, **chosen)

    def images(self, rows=slice(None)):
        """Compose the pictures of the chosen examples.

        Args:
            rows: A slice, a mask or an index array; all examples by default.

        Returns:
            `(rows, size, size, 3)` uint8; of examples with two pictures, `(rows, 2, size, size, 3)`.
        """
        cells = self.cells[rows]
        return compose(self.drawings, cells[:, 0] if cells.shape[1] == 1 else cells)


class Drawer:
    """Collects the examples of a task, and keeps the drawings that they show.

    Args:
        data: An `Emoji`.
        style: The style that is seen in training.
    """

    def __init__(self, data, style):
        self.data = data
        self.seen, self.unseen = STYLES.index(style), 1 - STYLES.index(style)
        self.cells: list = []
        self.texts: list = []
        self.labels: list = []
        self.kinds: list = []
        self.splits: list = []

    def rows(self, split):
        """Which emoji may be shown in a split, `(items,)` bool."""
        side = {"test_family": "test", "test_both": "test", "test_style": "train"}.get(split, split)
        return self.data.split == side

    def add(self, split, cells, text, label, kind):
        """Add an example. `cells`: `(pictures, places)` of rows of the data, `EMPTY` or `COVER`."""
        self.cells.append(cells)
        self.texts.append(text)
        self.labels.append(label)
        self.kinds.append(kind)
        self.splits.append(split)

    def task(self, answers, rng):
        """The `EmojiTask` of all that was added, in random order within each split."""
        splits = np.array(self.splits)
        shuffled = rng.permutation(len(splits))
        order = shuffled[np.argsort([TASK_SPLITS.index(split) for split in splits[shuffled]], kind="stable")]
        splits = splits[order]
        cells = np.array(self.cells, "int32")[order]
        unseen = np.isin(splits, ("test_style", "test_both"))[:, None, None]
        pictures = np.where(cells < 0, cells, 2 * cells + np.where(unseen, self.unseen, self.seen))
        used, places = np.unique(pictures, return_inverse=True)
        items, styles = used // 2, used % 2
        shown = used != EMPTY
        tables = {
            "drawings": self.data.images[items, styles],
            "item": items.astype("int32"),
            "family": self.data.family[items],
            "style": np.array(STYLES)[styles],
        }
        cover = used == COVER
        if cover.any():
            tables["drawings"][cover] = _cover(self.data.images.shape[2])
            tables["item"][cover] = -1
            tables["family"][cover] = tables["style"][cover] = ""
        rows = np.where(shown, np.cumsum(shown) - 1, -1)
        return EmojiTask(
            **{name: table[shown] for name, table in tables.items()},
            cells=rows[places].reshape(cells.shape).astype("int32"),
            texts=np.array(self.texts)[order],
            labels=np.array(self.labels, "int32")[order],
            answers=tuple(answers),
            kind=np.array(self.kinds)[order],
            split=splits,
        )


def _cover(side):
    """A grey card that hides a drawing."""
    card = np.full((side, side, 3), 255, "uint8")
    edge = max(side // 12, 1)
    card[edge:-edge, edge:-edge] = 128
    return card


def check_style(style):
    """Refuse what is no drawing style."""
    if style not in STYLES:
        raise ValueError(f"`style` must be one of {STYLES}, the one seen in training. Received: style={style!r}.")


def check_size(size, across):
    """Refuse a size that a grid of so many drawings across does not divide."""
    if isinstance(size, bool) or not isinstance(size, int) or size < across or size % across:
        raise ValueError(
            f"`size` must be a positive integer that {across} divides, the side of a grid of {across} by {across} "
            f"drawings. Received: size={size!r}."
        )


def check_count(count, name):
    """Refuse what is no positive integer."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={count!r}.")


def check_seed(seed):
    """Refuse what is no seed."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"`seed` must be a non-negative integer. Received: seed={seed!r}.")
