"""True and false statements about two pictures."""

import numpy as np

from emoji_tasks.categories import KINDS, members
from emoji_tasks.checks import check_count, check_kinds, load_for
from emoji_tasks.collector import EMPTY, Collector
from emoji_tasks.statements import TEMPLATES
from emoji_tasks.task import TASK_SPLITS

ACROSS = 3  # places of a grid, in each direction
STATEMENT_KINDS = ("presence", "count", "comparison")
# Smallest `most` with which a statement of each kind can be true.
_LEAST = {"presence": 1, "count": 3, "comparison": 2}
# Contents of a place in a plan: the first kind, the second, another one, no drawing.
_FIRST, _SECOND, _OTHER, _NOTHING = 0, 1, 2, 3


def emoji_comparisons(
    size=72,
    style="twemoji",
    groups=2000,
    test_groups=500,
    kinds=STATEMENT_KINDS,
    most=6,
    seed=0,
    cache_dir=None,
    verbose=True,
):
    """Loads true and false statements about two pictures: presence, counts and comparisons.

    The task is composed from emoji art and Unicode facts. It is not NLVR2, and results on it cannot
    be compared with results on NLVR2. Each picture is a grid of 3 by 3 places, of which one to
    `most` hold a drawing. The statements are about kinds of things: Unicode's subgroups, such as
    birds and vegetables, without unclear members.

    A group has four examples: two statements, such as "There is a bird in the left picture." and
    "There is a fruit in the left picture.", and two pairs of pictures with drawings in the same
    places, where the two kinds are exchanged. Each statement is true for one pair and false for the
    other. Each pair makes one statement true and the other false. In every split, the accuracy of
    the statement alone is therefore exactly 50 %. The same holds for the pictures alone, and for
    the places and the numbers of the drawings.

    Only text and pictures together tell the answer, which is slow to learn from scratch. Begin with
    `kinds=("presence",), most=1`, or with a model that was pre-trained on the drawings.

    Args:
        size: Positive int divisible by 3, height and width of each picture.
        style: Drawing style in training, `"twemoji"` or `"openmoji"`. The tests of an unseen style
            use the other one.
        groups: Positive int, number of groups of four examples in training.
        test_groups: Positive int, number of groups in validation and in each test.
        kinds: Some of `"presence"`, `"count"` and `"comparison"`, the kinds of statements.
        most: Int from 1 to 9, largest number of drawings in a picture. Comparisons need at least 2,
            counts at least 3.
        seed: Non-negative int. Equal seeds give equal examples.
        cache_dir: See `load_emoji`.
        verbose: See `load_emoji`.

    Returns:
        An `EmojiTask`: two pictures of nine places, the statement, and the label 1 if it is true.

    Raises:
        ImportError: If a package with drawings or names is not installed.
        ValueError: If an argument is out of range.

    Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
    """
    _check_kinds_and_most(kinds, most)
    data = load_for(
        ACROSS, size, style, seed, cache_dir, verbose, groups=groups, test_groups=test_groups
    )
    return compare(data, style, groups, test_groups, seed, kinds, most)


def _check_kinds_and_most(kinds, most):
    check_kinds(kinds, STATEMENT_KINDS)
    check_count(most, "most")
    least = max(_LEAST[kind] for kind in kinds)
    if not least <= most <= ACROSS**2:
        raise ValueError(
            f"`most` must be in [{least}, {ACROSS**2}] with kinds={kinds!r}. Received: most={most}."
        )


def compare(data, style, groups, test_groups, seed, kinds=STATEMENT_KINDS, most=6):
    """Composes the task from an `Emoji`. See `emoji_comparisons`."""
    rng = np.random.default_rng((seed, 2))
    collector = Collector(data, style)
    is_kind = {name: members(data, name, single=True) for name in KINDS}
    templates = [template for template in TEMPLATES if template.kind in kinds]
    for split in TASK_SPLITS:
        rows = collector.rows(split)
        shown = {name: rows & mask for name, mask in is_kind.items()}
        anything = np.any(list(shown.values()), axis=0)
        names = [name for name in KINDS if shown[name].any()]
        for _ in range(groups if split == "train" else test_groups):
            template = templates[rng.integers(len(templates))]
            wording, n = rng.integers(len(template.wordings)), int(rng.choice(template.numbers))
            first, second = _two_kinds(names, is_kind, rng)
            pools = [np.flatnonzero(mask) for mask in (shown[first], shown[second])]
            pools.append(np.flatnonzero(anything & ~is_kind[first] & ~is_kind[second]))
            plan = _plan(template, n, most, rng)
            for pair, exchanged in ((plan, False), (_exchange(plan), True)):
                cells = [
                    [rng.choice(pools[i]) if i != _NOTHING else EMPTY for i in picture]
                    for picture in pair
                ]
                collector.add(
                    split,
                    cells,
                    template.text(wording, first, second, n),
                    int(not exchanged),
                    template.kind,
                )
                collector.add(
                    split,
                    cells,
                    template.text(wording, second, first, n),
                    int(exchanged),
                    template.kind,
                )
    return collector.task(("false", "true"), rng)


def _two_kinds(names, is_kind, rng):
    """Draws two kinds without a common member."""
    while True:
        first, second = rng.choice(names, 2, replace=False).tolist()
        if not (is_kind[first] & is_kind[second]).any():
            return first, second


def _plan(template, n, most, rng):
    """Draws the contents of both pictures, `(2, places)`.

    The statement is true for the plan, and false if the two kinds are exchanged.
    """
    while True:
        plan = np.full((2, ACROSS**2), _NOTHING)
        for picture in plan:
            places = rng.permutation(ACROSS**2)[: rng.integers(1, most + 1)]
            picture[places] = rng.choice([_FIRST, _SECOND, _OTHER], len(places), p=[0.4, 0.4, 0.2])
        if template.kind == "comparison" and not {_FIRST, _SECOND} <= set(plan.ravel()):
            continue  # "as many birds" is not natural if there are no birds
        (left, right), (left_exchanged, right_exchanged) = counts(plan), counts(_exchange(plan))
        if template.holds(left, right, n) and not template.holds(
            left_exchanged, right_exchanged, n
        ):
            return plan


def counts(plan):
    """Counts the drawings of the first and the second kind in each picture, `(2, 2)`."""
    return np.stack([(plan == _FIRST).sum(axis=1), (plan == _SECOND).sum(axis=1)], axis=1)


def _exchange(plan):
    return np.array([_SECOND, _FIRST, _OTHER, _NOTHING])[plan]
