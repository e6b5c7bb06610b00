"""Sentences that a picture entails, contradicts, or leaves open."""

import numpy as np

from emoji_tasks import facts
from emoji_tasks.categories import KINDS, members, with_article
from emoji_tasks.checks import check_kinds, load_for
from emoji_tasks.collector import COVER, Collector, alone
from emoji_tasks.task import TASK_SPLITS

ACROSS = 2  # places of a picture, in each direction
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
_NO_ROLE = ("hair", "beard")  # a judge may have these, as a judge is a person
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
    """Load sentences that a picture entails, contradicts or leaves open.

    Composed from emoji art and Unicode facts; not SNLI-VE, and no figure on it can be compared with one on SNLI-VE.
    Sentences are neutral in two ways:

    * `"count"`: of the four drawings in the picture, one is under a gray card. "There are at least two birds." is
      entailed by two birds, open with one, contradicted by none; "There is at most one bird." the other way round.
    * `"person"`: Unicode draws most people as a woman, a man or a person whose gender is open, and in five skin tones
      or in yellow, which leaves the tone open. "This is a firefighter who is a woman." is entailed by a woman, open
      with a person in some tone, contradicted by a man, or by a woman who is a judge.

    The sentences of the three answers are the same, and so are the pictures: within each group of examples each
    sentence is once entailed, once open and once contradicted, and so is what each picture makes of three sentences.
    So in every split the sentence alone gives exactly a third, and so does the picture alone.

    Args:
        size: Positive int that 2 divides, height and width of the picture.
        style: The drawing style seen in training, `"twemoji"` or `"openmoji"`; the other is that of the tests with an
            unseen style.
        groups: Positive int, how many groups there are in training: as many of nine examples on counts, and a quarter
            as many, rounded up, of 24 examples on people.
        test_groups: Positive int, how many there are in validation and in each test.
        kinds: One or both of `"count"` and `"person"`, what the sentences are about.
        seed: Non-negative int; equal seeds compose the same examples.
        cache_dir: See `load_emoji`.
        verbose: See `load_emoji`.

    Returns:
        An `EmojiTask`: one picture of four places, the sentence, and 0 for contradiction, 1 for neutral, 2 for
        entailment.

    Raises:
        ImportError: A package with drawings or names is not installed; the message has the command.
        ValueError: An argument out of range.

    Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
    """
    check_kinds(kinds, ENTAILMENT_KINDS)
    data = load_for(
        ACROSS, size, style, seed, cache_dir, verbose, groups=groups, test_groups=test_groups
    )
    return entail(data, style, groups, test_groups, seed, kinds)


def entail(data, style, groups, test_groups, seed, kinds=ENTAILMENT_KINDS):
    """The sentences on pictures of an `Emoji`; see `emoji_entailment`."""
    rng = np.random.default_rng((seed, 3))
    collector = Collector(data, style)
    of_kind = {name: members(data, name, single=True) for name in KINDS}
    people = _people(data)
    for split in TASK_SPLITS:
        rows = collector.rows(split)
        count = groups if split == "train" else test_groups
        pools = {name: np.flatnonzero(rows & mask) for name, mask in of_kind.items()}
        pools = {name: pool for name, pool in pools.items() if len(pool) and not KINDS[name].parts}
        for _ in range(count if "count" in kinds else 0):
            _add_counts(collector, split, pools, rng)
        here = [person for person in people if rows[person["man"]]]
        for _ in range(-(-count // 4) if "person" in kinds else 0):
            _add_people(collector, split, here, rng)
    return collector.task(ENTAILMENT_ANSWERS, rng)


def _add_counts(collector, split, pools, rng):
    """Three kinds, of which three pictures show none, one and two, and the same sentence on each kind."""
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
    """For each figure, the name, the rows of the yellow woman and man, and those of the person in each tone."""
    found = []
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
            found.append(
                {
                    "name": str(name),
                    "woman": genders["woman"][None],
                    "man": genders["man"][None],
                    **toned,
                }
            )
    return found


def _add_people(collector, split, people, rng):
    """Two figures, each as a woman and a man without a tone, and in two tones without a gender; and the sentences."""
    pair = [people[i] for i in rng.choice(len(people), 2, replace=False)]
    tones = rng.choice(list(facts.TONES.values()), 2, replace=False).tolist()
    wording = PEOPLE[rng.integers(len(PEOPLE))]
    by_role = bool(rng.integers(2))  # a contradiction is another figure, or another gender or tone
    cells = [
        {look: [alone(person[look], ACROSS**2, rng)] for look in ("woman", "man", *tones)}
        for person in pair
    ]
    other = {"woman": "man", "man": "woman", tones[0]: tones[1], tones[1]: tones[0]}
    leaves_open = {"woman": tones[0], "man": tones[1], tones[0]: "woman", tones[1]: "man"}
    for who, person in enumerate(pair):
        for look in other:
            trait = f"who is a {look}" if look in ("woman", "man") else f"with {look} skin"
            text = wording.format(who=f"{with_article(person['name'])} {trait}")
            contradicts = cells[1 - who][look] if by_role else cells[who][other[look]]
            collector.add(split, cells[who][look], text, _ENTAILMENT, "person")
            collector.add(split, cells[who][leaves_open[look]], text, _NEUTRAL, "person")
            collector.add(split, contradicts, text, _CONTRADICTION, "person")
