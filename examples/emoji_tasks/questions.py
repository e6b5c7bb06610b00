"""Questions about a drawing, with short answers."""

import numpy as np

from emoji_tasks import facts
from emoji_tasks.categories import members, with_article
from emoji_tasks.checks import load_for
from emoji_tasks.collector import Collector
from emoji_tasks.task import TASK_SPLITS

WORDINGS = {
    "skin tone": (
        "What is the skin tone?",
        "Which skin tone is shown?",
        "How dark is the skin?",
        "Which of the five skin tones is this?",
    ),
    "gender": (
        "Is this a woman or a man?",
        "Who is shown: a woman or a man?",
        "Does the picture show a woman or a man?",
        "Which is it, a woman or a man?",
    ),
    "hair": (
        "What kind of hair is this?",
        "What is the hair like?",
        "Which kind of hair is shown?",
        "What sort of hair can you see?",
    ),
    "clock": (
        "What time is it?",
        "What time does the clock show?",
        "Which time can you read from the clock?",
        "What does the clock say?",
    ),
    "key": (
        "Which key is this?",
        "What is written on the key?",
        "What does the key say?",
        "Which key is shown?",
    ),
    "direction": (
        "Which way does this point?",
        "In which direction does this point?",
        "Where does it point?",
        "Which direction is shown?",
    ),
    "color": (
        "What color is this?",
        "Which color is shown?",
        "What is the color of this?",
        "Which color does it have?",
    ),
    "country": (
        "Whose flag is this?",
        "Which country or region has this flag?",
        "What place does the flag stand for?",
        "Of which country or region is this the flag?",
    ),
    "animal": (
        "What kind of animal is this?",
        "Which kind of animal is shown?",
        "To what kind of animals does it belong?",
        "What sort of animal can you see?",
    ),
    "food": (
        "What kind of food or drink is this?",
        "Which kind of food or drink is shown?",
        "What sort of food or drink can you see?",
        "What is there to eat or to drink?",
    ),
    "thing": (
        "What is this?",
        "What is shown?",
        "What can you see?",
        "What does the picture show?",
    ),
}
# The answer is the emoji itself. An unseen family has an unseen answer, so that only the style can
# be new.
_ASKS_FOR_THE_FAMILY = {"hair", "clock", "key", "country"}
_KINDS = {
    "animal": ("mammal", "bird", "bug", "sea animal"),
    "food": ("fruit", "vegetable", "sweet", "drink"),
    "thing": (
        "animal",
        "flower",
        "drink",
        "vehicle",
        "building",
        "tool",
        "piece of clothing",
        "smiley",
    ),
}


def emoji_questions(size=72, style="twemoji", most=40, seed=0, cache_dir=None, verbose=True):
    """Loads questions about drawings of emoji, with short answers from a closed set.

    The task is composed from emoji art and Unicode facts. It is not VQA, and results on it cannot
    be compared with results on VQA. There are eleven kinds of questions with four wordings each:
    the skin tone, gender and hair of people, the time on a clock, the key, the direction of an
    arrow or a hand, the color of a heart, a circle or a book, the country of a flag, the kind of
    animal or food, and the kind of thing. The answers come from the code points, the English name
    and the subgroup of the emoji. A question is not asked if one of the artists does not show the
    answer, such as the gender of small figures.

    In validation and tests, each wording is asked for equally many emoji of each of its answers.
    The accuracy of the question alone is therefore 1 / (number of its answers). The questions of
    training are not balanced if an answer has few emoji. The time, the key, the hair and the flag
    are asked only in `"train"` and `"test_style"`, since an unseen family has an unseen answer.

    Args:
        size: Positive int, height and width of the images.
        style: Drawing style in training, `"twemoji"` or `"openmoji"`. The tests of an unseen style
            use the other one.
        most: Positive int, largest number of emoji with the same answer for each wording.
        seed: Non-negative int. Equal seeds give equal examples.
        cache_dir: See `load_emoji`.
        verbose: See `load_emoji`.

    Returns:
        An `EmojiTask`: one picture of one drawing, the question, and the answer.

    Raises:
        ImportError: If a package with drawings or names is not installed.
        ValueError: If an argument is out of range.

    Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
    """
    return ask(load_for(1, size, style, seed, cache_dir, verbose, most=most), style, most, seed)


def ask(data, style, most, seed):
    """Composes the task from an `Emoji`. See `emoji_questions`."""
    rng = np.random.default_rng((seed, 1))
    collector = Collector(data, style)
    answers = {kind: answers_of(data, kind) for kind in WORDINGS}
    training = collector.rows("train")
    known = {kind: np.unique(values[training & (values != "")]) for kind, values in answers.items()}
    # A kind with one answer has nothing to choose from.
    known = {kind: values for kind, values in known.items() if len(values) > 1}
    names = np.unique(np.concatenate(list(known.values()))).tolist()
    for split in TASK_SPLITS:
        for kind in known:
            if kind in _ASKS_FOR_THE_FAMILY and split not in ("train", "test_style"):
                continue
            rows = collector.rows(split)
            pools = {
                answer: np.flatnonzero(rows & (answers[kind] == answer)) for answer in known[kind]
            }
            pools = {answer: pool for answer, pool in pools.items() if len(pool)}
            if len(pools) < 2:
                continue
            rarest = min(len(pool) for pool in pools.values())
            for wording in WORDINGS[kind]:
                for answer, pool in pools.items():
                    count = min(most, len(pool) if split == "train" else rarest)
                    for row in rng.choice(pool, count, replace=False):
                        collector.add(split, [[row]], wording, names.index(answer), kind)
    return collector.task(names, rng)


def answers_of(data, kind):
    """Returns the answer of each emoji to a kind of question, `(items,)`, or `""` if there is none.

    Args:
        data: An `Emoji`.
        kind: A key of `WORDINGS`.
    """
    if kind in _KINDS:
        answers = np.full(len(data), "", object)
        for name in _KINDS[kind]:
            answers[members(data, name)] = with_article(name)
        return answers.astype(str)
    if kind == "skin tone":
        return facts.skin_tones(data)
    if kind == "gender":
        return _genders(data)
    people = data.group == "people-and-body"
    names = data.texts["en"]
    answer = {
        "hair": lambda i: facts.hair_of(data.characters[i]) if people[i] else None,
        "clock": lambda i: facts.time_of(data.characters[i]),
        "key": lambda i: facts.key_of(data.characters[i]),
        "direction": lambda i: facts.direction_of(data.characters[i]),
        "color": lambda i: facts.color_of(names[i]),
        "country": lambda i: names[i] if facts.has_unique_flag(data.characters[i]) else None,
    }[kind]
    return np.array([answer(i) or "" for i in range(len(data))])


def _genders(data):
    answers = np.full(len(data), "", "<U5")
    for genders in facts.figures(data).values():
        for gender in ("woman", "man"):
            answers[list(genders[gender].values())] = gender
    return answers
