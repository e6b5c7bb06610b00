"""Pictures with texts and labels."""

import dataclasses

import numpy as np

from emoji_tasks.images import compose

TASK_SPLITS = ("train", "validation", "test_family", "test_style", "test_both")


@dataclasses.dataclass(frozen=True)
class EmojiTask:
    """Pictures with texts and labels: what `emoji_questions` and the other tasks on emoji return.

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
        chosen = {
            name: getattr(self, name)[rows]
            for name in ("cells", "texts", "labels", "kind", "split")
        }
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
