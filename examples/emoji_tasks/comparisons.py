"""Statements on two pictures, true or false."""

import numpy as np

from emoji_tasks.categories import KINDS, members
from emoji_tasks.checks import check_count, check_kinds, load_for
from emoji_tasks.collector import EMPTY, Collector
from emoji_tasks.statements import TEMPLATES
from emoji_tasks.task import TASK_SPLITS

ACROSS = 3  # places of a grid, in each direction
STATEMENT_KINDS = ("presence", "count", "comparison")
_LEAST = {
    "presence": 1,
    "count": 3,
    "comparison": 2,
}  # drawings in a picture, that each kind can be true
_FIRST, _SECOND, _OTHER, _NOTHING = 0, 1, 2, 3  # what a place of a plan holds


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
    """Load statements on two pictures, each true or false: what is there, how many, and where there are more.

    Composed from emoji art and Unicode facts; not NLVR2, and no figure on it can be compared with one on NLVR2. Each
    picture is a grid of 3 by 3 places, of which one to `most` hold a drawing. The statements are about kinds of things:
    Unicode's subgroups, such as birds and vegetables, without the members that are no good example of them.

    The examples come in groups of four: two statements, such as "There is a bird in the left picture." and "There is a
    fruit in the left picture.", and two pairs of pictures with drawings in the same places, where the kinds have
    changed places. Each statement is true of one pair and false of the other, and each pair makes one statement true
    and the other false. So in every split the statement alone gives exactly 50 %, the pictures alone exactly 50 %, and
    so do the places and the numbers of the drawings.

    That leaves nothing but what text and pictures say together, which is slow to learn from nothing. Begin with
    `kinds=("presence",), most=1`, or with a model that knows the drawings from pre-training.

    Args:
        size: Positive int that 3 divides, height and width of each picture.
        style: The drawing style seen in training, `"twemoji"` or `"openmoji"`; the other is that of the tests with an
            unseen style.
        groups: Positive int, how many groups of four examples there are in training.
        test_groups: Positive int, how many there are in validation and in each test.
        kinds: Some of `"presence"`, `"count"` and `"comparison"`, what the statements are about.
        most: Int from 1 to 9, how many drawings a picture holds at most; with comparisons at least 2, with counts 3.
        seed: Non-negative int; equal seeds compose the same examples.
        cache_dir: See `load_emoji`.
        verbose: See `load_emoji`.

    Returns:
        An `EmojiTask`: two pictures of nine places, the statement, and 1 where it is true.

    Raises:
        ImportError: A package with drawings or names is not installed; the message has the command.
        ValueError: An argument out of range.

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
    """The statements on pictures of an `Emoji`; see `emoji_comparisons`."""
    rng = np.random.default_rng((seed, 2))
    collector = Collector(data, style)
    of_kind = {name: members(data, name, single=True) for name in KINDS}
    templates = [template for template in TEMPLATES if template.kind in kinds]
    for split in TASK_SPLITS:
        rows = collector.rows(split)
        here = {name: rows & mask for name, mask in of_kind.items()}
        anything = np.any(list(here.values()), axis=0)
        names = [name for name in KINDS if here[name].any()]
        for _ in range(groups if split == "train" else test_groups):
            template = templates[rng.integers(len(templates))]
            wording, n = rng.integers(len(template.wordings)), int(rng.choice(template.numbers))
            first, second = _two_kinds(names, of_kind, rng)
            pools = [np.flatnonzero(mask) for mask in (here[first], here[second])]
            pools.append(np.flatnonzero(anything & ~of_kind[first] & ~of_kind[second]))
            plan = _plan(template, n, most, rng)
            for pair, exchanged in ((plan, False), (_exchange(plan), True)):
                cells = [
                    [rng.choice(pools[what]) if what != _NOTHING else EMPTY for what in picture]
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


def _two_kinds(names, of_kind, rng):
    """Two kinds without a common member."""
    while True:
        first, second = rng.choice(names, 2, replace=False).tolist()
        if not (of_kind[first] & of_kind[second]).any():
            return first, second


def _plan(template, n, most, rng):
    """What each place of both pictures holds, `(2, places)`: the statement is true, and false of exchanged kinds."""
    while True:
        plan = np.full((2, ACROSS**2), _NOTHING)
        for picture in plan:
            places = rng.permutation(ACROSS**2)[: rng.integers(1, most + 1)]
            picture[places] = rng.choice([_FIRST, _SECOND, _OTHER], len(places), p=[0.4, 0.4, 0.2])
        if template.kind == "comparison" and not {_FIRST, _SECOND} <= set(plan.ravel()):
            continue  # nobody says "as many birds" where there are none
        (left, right), (left_exchanged, right_exchanged) = counts(plan), counts(_exchange(plan))
        if template.holds(left, right, n) and not template.holds(
            left_exchanged, right_exchanged, n
        ):
            return plan


def counts(plan):
    """How many of the first and of the second kind each picture holds, `(2, 2)`."""
    return np.stack([(plan == _FIRST).sum(axis=1), (plan == _SECOND).sum(axis=1)], axis=1)


def _exchange(plan):
    return np.array([_SECOND, _FIRST, _OTHER, _NOTHING])[plan]
