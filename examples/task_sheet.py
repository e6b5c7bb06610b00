"""Draw a sheet of each task composed from emoji: pictures, texts and answers.

Questions about a drawing, statements on two pictures, sentences that a picture entails, contradicts or leaves open, and
names to be assigned to one of two pictures: a few examples of each kind, from any split.

Composed from emoji art and Unicode facts; not VQA, NLVR2 or SNLI-VE.

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
        "--task", choices=TASKS, nargs="+", default=list(TASKS), help="one task or several"
    )
    parser.add_argument(
        "--split", choices=SPLITS, nargs="+", default=["train", "test_style"], help="one or several"
    )
    parser.add_argument(
        "--columns", type=int, default=4, help="examples of each kind, in each split"
    )
    parser.add_argument("--size", type=int, default=72, help="height and width of the pictures")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the tasks and of the choice of examples"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the sheets"
    )
    return parser.parse_args()


arguments = parse_arguments() if __name__ == "__main__" else None

import numpy as np  # noqa: E402

import keras_contrastive as kc  # noqa: E402


def chosen(task, split, kind, columns, rng):
    """Some rows of a kind, with as many answers as there are columns for."""
    rows = rng.permutation(np.flatnonzero((task.split == split) & (task.kind == kind)))
    _, first = np.unique(task.labels[rows], return_index=True)
    others = np.setdiff1d(np.arange(len(rows)), first)
    return rows[np.concatenate([rng.permutation(first), others])[:columns]]


def side_by_side(picture, size):
    """One picture, or two with a gray line between them."""
    if picture.ndim == 3:
        return picture
    line = np.full((size, max(size // 24, 1), 3), 160, "uint8")
    return np.concatenate([picture[0], line, picture[1]], axis=1)


def draw_sheet(task, splits, columns, seed, path):
    """A row for each kind and split."""
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
    wide = 2 if task.cells.shape[1] == 2 else 1.2
    figure, axes = plt.subplots(
        len(lines), columns, figsize=(columns * 1.9 * wide, len(lines) * 2.15), squeeze=False
    )
    for (kind, split), places in zip(lines, axes, strict=True):
        rows = chosen(task, split, kind, columns, rng)
        for place in places:
            place.axis("off")
        for place, row, picture in zip(places, rows, task.images(rows), strict=False):
            place.imshow(side_by_side(picture, picture.shape[-2]))
            place.axis("on")
            place.set(xticks=[], yticks=[])
            place.spines[:].set_color("0.8")
            words = textwrap.fill(str(task.texts[row]), round(26 * wide))
            place.set_title(words, fontsize=7.5, pad=3)
            place.set_xlabel(
                task.answers[task.labels[row]], fontsize=8.5, color="green", labelpad=2
            )
        places[0].set_ylabel(f"{kind}\n{split}", fontsize=7, color="0.4")
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
