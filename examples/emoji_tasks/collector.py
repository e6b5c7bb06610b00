"""Builds an `EmojiTask` from single examples."""

import numpy as np

from emoji_tasks.task import TASK_SPLITS, EmojiTask
from keras_contrastive.datasets import STYLES

EMPTY, COVER = -1, -2  # a place without a drawing, and a place under a gray card


def alone(row, places, rng):
    """Returns the cells of a picture with one drawing in a random place."""
    cells = np.full(places, EMPTY)
    cells[rng.integers(places)] = row
    return cells


class Collector:
    """Collects the examples of a task and the drawings that they show.

    Args:
        data: An `Emoji`.
        style: Drawing style in training.
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
        """Returns which emoji a split can show, bool `(items,)`."""
        side = {"test_family": "test", "test_both": "test", "test_style": "train"}.get(split, split)
        return self.data.split == side

    def add(self, split, cells, text, label, kind):
        """Adds an example.

        Args:
            cells: `(pictures, places)`, rows of the data, `EMPTY` or `COVER`.
            text: String.
            label: Int, position in the answers.
            kind: String.
        """
        self.cells.append(cells)
        self.texts.append(text)
        self.labels.append(label)
        self.kinds.append(kind)
        self.splits.append(split)

    def task(self, answers, rng):
        """Returns the `EmojiTask` of all examples, in random order inside each split."""
        splits = np.array(self.splits)
        shuffled = rng.permutation(len(splits))
        order = shuffled[
            np.argsort([TASK_SPLITS.index(split) for split in splits[shuffled]], kind="stable")
        ]
        splits = splits[order]
        cells = np.array(self.cells, "int32")[order]
        unseen = np.isin(splits, ("test_style", "test_both"))[:, None, None]
        pictures = np.where(cells < 0, cells, 2 * cells + np.where(unseen, self.unseen, self.seen))
        used, positions = np.unique(pictures, return_inverse=True)
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
            cells=rows[positions].reshape(cells.shape).astype("int32"),
            texts=np.array(self.texts)[order],
            labels=np.array(self.labels, "int32")[order],
            answers=tuple(answers),
            kind=np.array(self.kinds)[order],
            split=splits,
        )


def _cover(side):
    """Returns a gray card that hides a drawing."""
    card = np.full((side, side, 3), 255, "uint8")
    edge = side // 12
    card[edge : side - edge, edge : side - edge] = 128
    return card
