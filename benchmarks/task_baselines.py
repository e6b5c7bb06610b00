"""Measures how well partial inputs answer the tasks composed from emoji.

Prints one line for each task, split and baseline: the accuracy, and the number of examples. All
baselines are trained on the split "train" only.

* `majority`: the most frequent answer.
* `question`: the most frequent answer to the same text, or to all texts if the text is new.
* `text`: softmax regression on words and pairs of words.
* `outline`: softmax regression on the length of the text, the occupied places, and their number.
* `picture`: softmax regression on small pixels and a histogram of colors.
* `both, added`: softmax regression on words, pixels and colors together. It is linear, so that it
  cannot compare text and picture.

    python benchmarks/task_baselines.py
    python benchmarks/task_baselines.py --quick --kinds
"""

import argparse
import collections
import itertools
import pathlib
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "examples"))

import emoji_tasks

TASKS = {
    "questions": emoji_tasks.emoji_questions,
    "comparisons": emoji_tasks.emoji_comparisons,
    "entailment": emoji_tasks.emoji_entailment,
    "assignments": emoji_tasks.emoji_assignments,
}
SIDE = 8  # height and width of the small pictures
BINS = 4  # bins of each color channel


def pieces(text):
    """Returns words and pairs of words."""
    words = text.lower().replace("?", " ?").replace(".", " .").replace(",", "").split()
    return words + [" ".join(pair) for pair in itertools.pairwise(words)]


def words_of(task):
    """Returns 0 and 1, `(examples, vocabulary)`. The vocabulary is that of training."""
    bags = {text: set(pieces(text)) for text in np.unique(task.texts).tolist()}
    column = {}
    for text in np.unique(task.texts[task.split == "train"]).tolist():
        for piece in sorted(bags[text]):
            column.setdefault(piece, len(column))
    features = np.zeros((len(task), len(column)))
    for row, text in enumerate(task.texts.tolist()):
        features[row, [column[piece] for piece in bags[text] if piece in column]] = 1
    return features


def outline_of(task):
    """Returns lengths of the text, occupied places, and the number of drawings."""
    is_drawing = task.cells >= 0
    lengths = [[len(text), len(text.split())] for text in task.texts.tolist()]
    return np.concatenate(
        [lengths, is_drawing.reshape(len(task), -1), is_drawing.sum(axis=2)], axis=1
    ).astype(float)


def pixels_of(task):
    """Returns small pixels and a histogram of colors of each picture, `(examples, features)`."""
    features = []
    for start in range(0, len(task), 512):
        pictures = task.images(slice(start, start + 512))
        pictures = pictures.reshape(-1, *pictures.shape[-3:])
        step = pictures.shape[1] // SIDE
        cut = pictures[:, : SIDE * step, : SIDE * step].astype("float32") / 255
        small = (
            cut.reshape(-1, SIDE, step, SIDE, step, 3).mean(axis=(2, 4)).reshape(len(pictures), -1)
        )
        bins = (pictures // (256 // BINS)).astype("int32") @ np.array([BINS**2, BINS, 1])
        colors = np.stack([np.bincount(b.ravel(), minlength=BINS**3) for b in bins]) / bins[0].size
        features.append(
            np.concatenate([small, np.sqrt(colors)], axis=1).reshape(
                len(pictures) // task.cells.shape[1], -1
            )
        )
    return np.concatenate(features)


def linear(features, task):
    """Returns the predictions of logistic regression, trained on the split "train"."""
    training = task.split == "train"
    spread = features[training].std(axis=0)
    features = (features - features[training].mean(axis=0)) / np.where(spread > 0, spread, 1)
    regression = LogisticRegression(C=0.01, max_iter=10_000)
    return regression.fit(features[training], task.labels[training]).predict(features)


def most_frequent(task):
    """Predicts the most frequent answer in training."""
    return np.full(len(task), np.bincount(task.labels[task.split == "train"]).argmax())


def most_frequent_to_the_text(task):
    """Predicts the most frequent answer in training to the same text."""
    counts = collections.defaultdict(collections.Counter)
    for text, label, split in zip(
        task.texts.tolist(), task.labels.tolist(), task.split, strict=True
    ):
        if split == "train":
            counts[text][label] += 1
    answers = {text: counter.most_common(1)[0][0] for text, counter in counts.items()}
    return np.array(
        [
            answers.get(text, default)
            for text, default in zip(task.texts, most_frequent(task), strict=True)
        ]
    )


def predictions(task):
    """Returns the predictions of each baseline, by name."""
    words, pixels = words_of(task), pixels_of(task)
    return {
        "majority": most_frequent(task),
        "question": most_frequent_to_the_text(task),
        "text": linear(words, task),
        "outline": linear(outline_of(task), task),
        "picture": linear(pixels, task),
        "both, added": linear(np.concatenate([words, pixels], axis=1), task),
    }


def print_table(name, task, answers, by_kind):
    splits = emoji_tasks.TASK_SPLITS
    print(f"\n{name:<28}" + "".join(f"{split:>13}" for split in splits))
    for kind in [None, *(sorted(set(task.kind.tolist())) if by_kind else [])]:
        chosen = np.ones(len(task), bool) if kind is None else task.kind == kind
        masks = [chosen & (task.split == split) for split in splits]
        print(
            f"{kind or 'all':<12}{'examples':<16}" + "".join(f"{mask.sum():>13}" for mask in masks)
        )
        for baseline, answer in answers.items():
            cells = [
                f"{np.mean(answer[mask] == task.labels[mask]):.3f}" if mask.any() else ""
                for mask in masks
            ]
            print(f"{'':<12}{baseline:<16}" + "".join(f"{cell:>13}" for cell in cells), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, nargs="+", default=list(TASKS))
    parser.add_argument("--quick", action="store_true", help="use a tenth of the examples")
    parser.add_argument(
        "--kinds", action="store_true", help="print a table for each kind of text as well"
    )
    parser.add_argument("--size", type=int, default=72)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    few = {
        "questions": {"most": 4},
        "comparisons": {"groups": 200, "test_groups": 50},
        "entailment": {"groups": 60, "test_groups": 15},
        "assignments": {"groups": 100, "test_groups": 20},
    }
    for name in arguments.task:
        options = few[name] if arguments.quick else {}
        task = TASKS[name](size=arguments.size, seed=arguments.seed, **options)
        print_table(name, task, predictions(task), arguments.kinds)


if __name__ == "__main__":
    main()
