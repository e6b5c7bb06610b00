"""Sentences that a picture entails, contradicts or leaves open."""

import numpy as np

from emoji_tasks import facts
from emoji_tasks.categories import KINDS, members, with_article
from emoji_tasks.checks import check_kinds, load_for
from emoji_tasks.collector import COVER, Collector, alone
from emoji_tasks.task import TASK_SPLITS

ACROSS = 2  # places across a picture
ENTAILMENT_KINDS = ("count", "person")
ENTAILMENT_ANSWERS = ("contradiction", "neutral", "entailment")
_CONTRADICTION, _NEUTRAL, _ENTAILMENT = range(3)
AT_LEAST_TWO = (
    "There are at least two {many}.",
    "The picture holds two {many} or more.",
    "More than one of the drawings is {a}.",
)
AT_MOST_ONE = (
    "There is at most one {one}.",
    "The picture holds no more than one {one}.",
    "Fewer than two of the drawings are {many}.",
)
_NO_ROLE = ("hair", "beard")  # excluded figures, since a figure with a role can have these too
PEOPLE = ("This is {who}.", "The picture shows {who}.", "Here you can see {who}.")


def emoji_entailment(
    size=72,
    style="twemoji",
    groups=600,
    test_groups=150,
    kinds=ENTAILMENT_KINDS,
    seed=0,
    cache_dir=None,
    verbose=True,
):
    """Loads sentences that a picture entails, contradicts or leaves open.

    The task is composed from emoji art and Unicode facts. It is not SNLI-VE, and results on it
    cannot be compared with results on SNLI-VE. Sentences are neutral in two ways:

    * `"count"`: the picture has four drawings, one of them under a gray card. "There are at least
      two birds." is entailed by two birds, open with one, and contradicted by none. "There is at
      most one bird." is the opposite.
    * `"person"`: Unicode draws most people as a woman, a man or a person of open gender, and in
      five skin tones or in yellow, an open tone. "This is a firefighter who is a woman." is
      entailed by a woman, open with a person in some tone, and contradicted by a man, or by a woman
      who is a judge.

    In each group of examples, each sentence occurs once with each answer, and so does each picture
    with three sentences. In every split, the accuracy of the sentence alone is therefore exactly
    1/3, and so is that of the picture alone.

    Args:
        size: Positive int divisible by 2, height and width of the picture.
        style: Drawing style in training, `"twemoji"` or `"openmoji"`. The tests of an unseen style
            use the other one.
        groups: Positive int, number of groups in training: as many groups of nine examples about
            counts, and a quarter as many, rounded up, of 24 examples about people.
        test_groups: Positive int, number of groups in validation and in each test.
        kinds: One or both of `"count"` and `"person"`, the kinds of sentences.
        seed: Non-negative int. Equal seeds give equal examples.
        cache_dir: See `load_emoji`.
        verbose: See `load_emoji`.

    Returns:
        An `EmojiTask`: one picture of four places, the sentence, and the label 0 for contradiction,
        1 for neutral, 2 for entailment.

    Raises:
        ImportError: If a package with drawings or names is not installed.
        ValueError: If an argument is out of range.

    Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
    """
    check_kinds(kinds, ENTAILMENT_KINDS)
    data = load_for(
        ACROSS, size, style, seed, cache_dir, verbose, groups=groups, test_groups=test_groups
    )
    return entail(data, style, groups, test_groups, seed, kinds)


def entail(data, style, groups, test_groups, seed, kinds=ENTAILMENT_KINDS):
    """Composes the task from an `Emoji`. See `emoji_entailment`."""
    rng = np.random.default_rng((seed, 3))
    collector = Collector(data, style)
    is_kind = {name: members(data, name, single=True) for name in KINDS}
    people = _people(data)
    for split in TASK_SPLITS:
        rows = collector.rows(split)
        count = groups if split == "train" else test_groups
        pools = {name: np.flatnonzero(rows & mask) for name, mask in is_kind.items()}
        pools = {name: pool for name, pool in pools.items() if len(pool) and not KINDS[name].parts}
        for _ in range(count if "count" in kinds else 0):
            _add_counts(collector, split, pools, rng)
        shown = [person for person in people if rows[person["man"]]]
        for _ in range(-(-count // 4) if "person" in kinds else 0):
            _add_people(collector, split, shown, rng)
    return collector.task(ENTAILMENT_ANSWERS, rng)


def _add_counts(collector, split, pools, rng):
    """Adds nine examples: three pictures, with zero, one and two drawings of three kinds in turn.

    The same sentence is asked for each kind.
    """
    kinds = rng.choice(list(pools), 3, replace=False).tolist()
    wordings, labels = (
        (AT_LEAST_TWO, (_CONTRADICTION, _NEUTRAL, _ENTAILMENT)),
        (AT_MOST_ONE, (_ENTAILMENT, _NEUTRAL, _CONTRADICTION)),
    )[rng.integers(2)]
    wording = wordings[rng.integers(len(wordings))]
    for turn in range(3):
        numbers = [(turn + i) % 3 for i in range(3)]
        shown = [
            rng.choice(pools[kind])
            for kind, n in zip(kinds, numbers, strict=True)
            for _ in range(n)
        ]
        cells = [rng.permutation([*shown, COVER])]
        for kind, n in zip(kinds, numbers, strict=True):
            text = wording.format(one=kind, a=with_article(kind), many=KINDS[kind].many)
            collector.add(split, cells, text, labels[n], "count")


def _people(data):
    """Returns a dict for each figure.

    It has the name, the rows of the yellow woman and man, and the rows of the person in each tone.
    """
    people = []
    for genders in facts.figures(data).values():
        tones = genders["person"]
        name = data.texts["en"][tones[None]] if None in tones else ""
        complete = (
            len(tones) == 1 + len(facts.TONES)
            and None in genders["woman"]
            and None in genders["man"]
        )
        if complete and name not in ("", "person") and not any(word in name for word in _NO_ROLE):
            toned = {tone: tones[tone] for tone in facts.TONES.values()}
            people.append(
                {
                    "name": str(name),
                    "woman": genders["woman"][None],
                    "man": genders["man"][None],
                    **toned,
                }
            )
    return people


def _add_people(collector, split, people, rng):
    """Adds 24 examples about two figures.

    Each is shown as a woman and a man without a tone, and in two tones without a gender.
    """
    pair = [people[i] for i in rng.choice(len(people), 2, replace=False)]
    tones = rng.choice(list(facts.TONES.values()), 2, replace=False).tolist()
    wording = PEOPLE[rng.integers(len(PEOPLE))]
    # A contradiction is another figure, or another gender or tone.
    by_role = bool(rng.integers(2))
    cells = [
        {look: [alone(person[look], ACROSS**2, rng)] for look in ("woman", "man", *tones)}
        for person in pair
    ]
    other = {"woman": "man", "man": "woman", tones[0]: tones[1], tones[1]: tones[0]}
    neutral = {"woman": tones[0], "man": tones[1], tones[0]: "woman", tones[1]: "man"}
    for who, person in enumerate(pair):
        for look in other:
            trait = f"who is a {look}" if look in ("woman", "man") else f"with {look} skin"
            text = wording.format(who=f"{with_article(person['name'])} {trait}")
            contradicts = cells[1 - who][look] if by_role else cells[who][other[look]]
            collector.add(split, cells[who][look], text, _ENTAILMENT, "person")
            collector.add(split, cells[who][neutral[look]], text, _NEUTRAL, "person")
            collector.add(split, contradicts, text, _CONTRADICTION, "person")
