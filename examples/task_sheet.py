"""Draws a sheet of each task composed from emoji: pictures, texts and answers.

The tasks are questions about a drawing, statements about two pictures, sentences that a picture
entails, contradicts or leaves open, and names of one of two pictures. A sheet shows a few examples
of each kind, from any split. The tasks are not VQA, NLVR2 or SNLI-VE.

    python examples/task_sheet.py
    python examples/task_sheet.py --task comparisons --split test_both --columns 4

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import pathlib
import textwrap

import emoji_tasks

TASKS = ("questions", "comparisons", "entailment", "assignments")
SPLITS = ("train", "validation", "test_family", "test_style", "test_both")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Draw a sheet of the tasks composed from emoji: pictures, texts and answers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--task", choices=TASKS, nargs="+", default=list(TASKS), help="tasks to draw"
    )
    parser.add_argument(
        "--split", choices=SPLITS, nargs="+", default=["train", "test_style"], help="splits to draw"
    )
    parser.add_argument(
        "--columns", type=int, default=4, help="examples of each kind in each split"
    )
    parser.add_argument("--size", type=int, default=72, help="height and width of the pictures")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the tasks and of the selected examples"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the sheets"
    )
    return parser.parse_args()


arguments = parse_arguments() if __name__ == "__main__" else None

import numpy as np  # noqa: E402

import keras_contrastive as kc  # noqa: E402


def select(task, split, kind, columns, rng):
    """Returns some rows of a kind, with as many different answers as possible."""
    rows = rng.permutation(np.flatnonzero((task.split == split) & (task.kind == kind)))
    _, first = np.unique(task.labels[rows], return_index=True)
    others = np.setdiff1d(np.arange(len(rows)), first)
    return rows[np.concatenate([rng.permutation(first), others])[:columns]]


def side_by_side(picture, size):
    """Returns one picture, or two with a gray line between them."""
    if picture.ndim == 3:
        return picture
    line = np.full((size, max(size // 24, 1), 3), 160, "uint8")
    return np.concatenate([picture[0], line, picture[1]], axis=1)


def draw_sheet(task, splits, columns, seed, path):
    """Draws a row of examples for each kind and split."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(seed)
    kinds = list(dict.fromkeys(task.kind.tolist()))
    lines = [(kind, split) for kind in sorted(kinds) for split in splits]
    lines = [
        (kind, split)
        for kind, split in lines
        if ((task.kind == kind) & (task.split == split)).any()
    ]
    width = 2 if task.cells.shape[1] == 2 else 1.2
    figure, axes = plt.subplots(
        len(lines), columns, figsize=(columns * 1.9 * width, len(lines) * 2.15), squeeze=False
    )
    for (kind, split), row_axes in zip(lines, axes, strict=True):
        rows = select(task, split, kind, columns, rng)
        for axis in row_axes:
            axis.axis("off")
        for axis, row, picture in zip(row_axes, rows, task.images(rows), strict=False):
            axis.imshow(side_by_side(picture, picture.shape[-2]))
            axis.axis("on")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_color("0.8")
            words = textwrap.fill(str(task.texts[row]), round(26 * width))
            axis.set_title(words, fontsize=7.5, pad=3)
            axis.set_xlabel(task.answers[task.labels[row]], fontsize=8.5, color="green", labelpad=2)
        row_axes[0].set_ylabel(f"{kind}\n{split}", fontsize=7, color="0.4")
    figure.tight_layout(rect=(0, 0.012, 1, 1))
    figure.text(0.01, 0.003, kc.datasets.ATTRIBUTION, fontsize=6, color="0.5")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"wrote {path}")


def main():
    makers = {
        "questions": emoji_tasks.emoji_questions,
        "comparisons": emoji_tasks.emoji_comparisons,
        "entailment": emoji_tasks.emoji_entailment,
        "assignments": emoji_tasks.emoji_assignments,
    }
    for name in arguments.task:
        task = makers[name](size=arguments.size, seed=arguments.seed)
        draw_sheet(
            task, arguments.split, arguments.columns, arguments.seed, arguments.out / f"{name}.png"
        )


if __name__ == "__main__":
    main()
