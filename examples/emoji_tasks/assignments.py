"""Names to be assigned to one of two pictures, or to neither: pre-training for tasks on two pictures."""

import numpy as np

from emoji_tasks.checks import load_for
from emoji_tasks.collector import Collector, alone
from emoji_tasks.comparisons import ACROSS
from emoji_tasks.facts import TONES
from emoji_tasks.task import TASK_SPLITS

ASSIGNMENT_ANSWERS = ("first", "second", "neither")


def emoji_assignments(
    size=72, style="twemoji", groups=1000, test_groups=200, seed=0, cache_dir=None, verbose=True
):
    """Load English names of emoji, each with two pictures: is it the name of the first, of the second or of neither?

    Composed from emoji art and Unicode facts. This is the step between pre-training on pairs of image and text and
    fine-tuning on two pictures: it teaches a model which picture is which, and needs no labels but the pairs. Each
    picture has the grid of `emoji_comparisons`, with one drawing somewhere in it, so that a model goes from one to the
    other as it is.

    The examples come in groups of nine, on three emoji of different families: three pairs of pictures, each with the
    three names. Each name is once that of the first, once that of the second and once that of neither, and each pair of
    pictures once with each answer: the name alone gives exactly a third, and so do the pictures alone. Half of the
    groups are of emoji of one subgroup, such as three birds, which are harder to tell apart.

    Args:
        size: Positive int that 3 divides, height and width of each picture.
        style: The drawing style seen in training, `"twemoji"` or `"openmoji"`; the other is that of the tests with an
            unseen style.
        groups: Positive int, how many groups of nine examples there are in training.
        test_groups: Positive int, how many there are in validation and in each test.
        seed: Non-negative int; equal seeds compose the same examples.
        cache_dir: See `load_emoji`.
        verbose: See `load_emoji`.

    Returns:
        An `EmojiTask`: two pictures of nine places, the name, and 0 for the first, 1 for the second, 2 for neither.
        Its `kind` is `"alike"` where the emoji are of one subgroup, else `"any"`.

    Raises:
        ImportError: A package with drawings or names is not installed; the message has the command.
        ValueError: An argument out of range.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651), Sec. 4, "Natural Language for Visual Reasoning".

    Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
    """
    data = load_for(
        ACROSS, size, style, seed, cache_dir, verbose, groups=groups, test_groups=test_groups
    )
    return assign(data, style, groups, test_groups, seed)


def assign(data, style, groups, test_groups, seed):
    """The names and pictures of an `Emoji`; see `emoji_assignments`."""
    rng = np.random.default_rng((seed, 4))
    collector = Collector(data, style)
    plain = ~np.array([any(c in TONES for c in character) for character in data.characters], bool)
    for split in TASK_SPLITS:
        rows = np.flatnonzero(collector.rows(split) & plain)
        subgroups = [rows[data.subgroup[rows] == name] for name in np.unique(data.subgroup[rows])]
        subgroups = [pool for pool in subgroups if len(set(data.family[pool])) >= 3]
        for _ in range(groups if split == "train" else test_groups):
            kind = ("any", "alike")[rng.integers(2)] if subgroups else "any"
            pool = rows if kind == "any" else subgroups[rng.integers(len(subgroups))]
            _add_three(collector, split, _three(pool, data.family, rng), kind, rng)
    return collector.task(ASSIGNMENT_ANSWERS, rng)


def _three(pool, family, rng):
    """Three rows of different families."""
    while True:
        three = rng.choice(pool, 3, replace=False)
        if len(set(family[three])) == 3:
            return three


def _add_three(collector, split, three, kind, rng):
    """Three pairs of pictures, each with the three names."""
    for turn in range(3):
        first, second, neither = np.roll(three, -turn)
        cells = [alone(row, ACROSS**2, rng) for row in (first, second)]
        for label, row in enumerate((first, second, neither)):
            collector.add(split, cells, str(collector.data.texts["en"][row]), label, kind)
