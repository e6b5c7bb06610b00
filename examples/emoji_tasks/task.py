"""Pictures with texts and labels."""

import dataclasses

import numpy as np

from emoji_tasks.images import compose

TASK_SPLITS = ("train", "validation", "test_family", "test_style", "test_both")


@dataclasses.dataclass(frozen=True)
class EmojiTask:
    """Pictures with texts and labels, the result of `emoji_questions` and the other tasks.

    Each drawing is stored once. `images` composes the pictures of the selected examples. The split
    of an example is one of

    | split | families of the emoji | drawing style |
    | --- | --- | --- |
    | `"train"` | training | seen |
    | `"validation"` | validation | seen |
    | `"test_family"` | test | seen |
    | `"test_style"` | training | unseen |
    | `"test_both"` | test | unseen |

    The families have the same split as in `load_emoji`. A model that was pre-trained on its
    training families, in the seen style only, has seen nothing of the tests.

    Attributes:
        drawings: `(drawings, side, side, 3)` uint8, on white.
        item: `(drawings,)` int32, row of the emoji in `load_emoji(skin_tones=True)`. Both drawings
            of an emoji have the same. -1 is a drawing that is not an emoji.
        family: `(drawings,)`, family of the emoji, as in `Emoji`.
        style: `(drawings,)`, one of `STYLES`.
        cells: `(examples, pictures, places)` int32, row of `drawings` in each place of each
            picture. -1 is an empty place.
        texts: `(examples,)`, the question, statement or sentence.
        labels: `(examples,)` int32, position in `answers`.
        answers: Names of the labels.
        kind: `(examples,)`, subject of the text.
        split: `(examples,)`, one of `TASK_SPLITS`.
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
        """Returns the selected examples, by a slice, a mask or an index array, with all drawings.

        Example:

        >>> two = np.array(["train", "test_style"])
        >>> drawings, cells = np.zeros((1, 8, 8, 3), "uint8"), np.zeros((2, 1, 1), "int32")
        >>> labels = np.zeros(2, "int32")
        >>> task = EmojiTask(*[drawings] * 4, cells, two, labels, ("yes", "no"), two, two)
        >>> task[task.split == "train"].images().shape
        (1, 8, 8, 3)
        """
        chosen = {
            name: getattr(self, name)[rows]
            for name in ("cells", "texts", "labels", "kind", "split")
        }
        return dataclasses.replace(self, **chosen)

    def images(self, rows=slice(None)):
        """Composes the pictures of the selected examples.

        Args:
            rows: A slice, a mask or an index array. The default is all examples.

        Returns:
            `(rows, size, size, 3)` uint8. For two pictures per example, `(rows, 2, size, size, 3)`.
        """
        cells = self.cells[rows]
        return compose(self.drawings, cells[:, 0] if cells.shape[1] == 1 else cells)
