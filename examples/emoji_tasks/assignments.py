"""Names that belong to the first picture, the second, or neither: pre-training for two pictures."""

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
    """Loads names of emoji with two pictures. A name belongs to the first, the second or neither.

    The task is composed from emoji art and Unicode facts. It comes between pre-training on
    image-text pairs and fine-tuning on two pictures. It trains a model to distinguish the two
    pictures, and needs no labels except the pairs. Each picture has the grid of
    `emoji_comparisons`, with one drawing in it, so that a model can be used for both tasks without
    changes.

    A group of nine examples is about three emoji of different families: three pairs of pictures,
    each with the three names. Each name occurs once with each answer, and so does each pair of
    pictures. The accuracy of the name alone is therefore exactly 1/3, and so is that of the
    pictures alone. In half of the groups the emoji have the same subgroup, such as three birds,
    which are harder to distinguish.

    Args:
        size: Positive int divisible by 3, height and width of each picture.
        style: Drawing style in training, `"twemoji"` or `"openmoji"`. The tests of an unseen style
            use the other one.
        groups: Positive int, number of groups of nine examples in training.
        test_groups: Positive int, number of groups in validation and in each test.
        seed: Non-negative int. Equal seeds give equal examples.
        cache_dir: See `load_emoji`.
        verbose: See `load_emoji`.

    Returns:
        An `EmojiTask`: two pictures of nine places, the name, and the label 0 for the first, 1 for
        the second, 2 for neither. Its `kind` is `"alike"` if the emoji have the same subgroup, else
        `"any"`.

    Raises:
        ImportError: If a package with drawings or names is not installed.
        ValueError: If an argument is out of range.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651), Sec. 4, "Natural
          Language for Visual Reasoning".

    Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
    """
    data = load_for(
        ACROSS, size, style, seed, cache_dir, verbose, groups=groups, test_groups=test_groups
    )
    return assign(data, style, groups, test_groups, seed)


def assign(data, style, groups, test_groups, seed):
    """Composes the task from an `Emoji`. See `emoji_assignments`."""
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
    """Draws three rows of different families."""
    while True:
        three = rng.choice(pool, 3, replace=False)
        if len(set(family[three])) == 3:
            return three


def _add_three(collector, split, three, kind, rng):
    """Adds three pairs of pictures, each with the three names."""
    for turn in range(3):
        first, second, neither = np.roll(three, -turn)
        cells = [alone(row, ACROSS**2, rng) for row in (first, second)]
        for label, row in enumerate((first, second, neither)):
            collector.add(split, cells, str(collector.data.texts["en"][row]), label, kind)
