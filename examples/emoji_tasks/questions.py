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
# Where the answer is the emoji itself, an unseen family has an unseen answer: only the style can be new.
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
    """Load questions about drawings of emoji, with short answers from a closed set.

    Composed from emoji art and Unicode facts; not VQA, and no figure on it can be compared with one on VQA. There are
    eleven kinds of questions, of four wordings each: the skin tone, gender and hair of people; the time on a clock,
    the key, where an arrow or a hand points, the color of a heart, a circle or a book, whose flag it is, which kind of
    animal or food, and what it is at all. The answers are those of the emoji's code points, its English name and
    Unicode's subgroups. What one of the artists does not show is not asked: the gender of small figures, for one.

    In validation and tests, each wording is asked of equally many emoji of each of its answers: whoever sees only the
    question is right once in as many times as it has answers, whatever was learned. The questions of training are not
    balanced where an answer has few emoji. The time, the key, the hair and the flag are asked only in `"train"` and
    `"test_style"`: an emoji whose family was never seen has an answer that was never seen.

    Args:
        size: Positive int, height and width of the images.
        style: The drawing style seen in training, `"twemoji"` or `"openmoji"`; the other is that of the tests with an
            unseen style.
        most: Positive int, of how many emoji with the same answer each wording is asked, if there are so many.
        seed: Non-negative int; equal seeds choose the same emoji.
        cache_dir: See `load_emoji`.
        verbose: See `load_emoji`.

    Returns:
        An `EmojiTask`: one picture of one drawing, the question, and the answer.

    Raises:
        ImportError: A package with drawings or names is not installed; the message has the command.
        ValueError: An argument out of range.

    Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
    """
    return ask(load_for(1, size, style, seed, cache_dir, verbose, most=most), style, most, seed)


def ask(data, style, most, seed):
    """The questions about an `Emoji`; see `emoji_questions`."""
    rng = np.random.default_rng((seed, 1))
    collector = Collector(data, style)
    answers = {kind: answers_of(data, kind) for kind in WORDINGS}
    training = collector.rows("train")
    known = {kind: np.unique(found[training & (found != "")]) for kind, found in answers.items()}
    known = {
        kind: found for kind, found in known.items() if len(found) > 1
    }  # else there is nothing to choose from
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
    """The answer of each emoji to a kind of question, `(items,)`; `""` where it cannot be asked.

    Args:
        data: An `Emoji`.
        kind: A key of `WORDINGS`.
    """
    if kind in _KINDS:
        found = np.full(len(data), "", object)
        for name in _KINDS[kind]:
            found[members(data, name)] = with_article(name)
        return found.astype(str)
    if kind == "skin tone":
        return facts.skin_tones(data)
    if kind == "gender":
        return _genders(data)
    people = data.group == "people-and-body"
    names = data.texts["en"]
    of = {
        "hair": lambda i: facts.hair_of(data.characters[i]) if people[i] else None,
        "clock": lambda i: facts.time_of(data.characters[i]),
        "key": lambda i: facts.key_of(data.characters[i]),
        "direction": lambda i: facts.direction_of(data.characters[i]),
        "color": lambda i: facts.color_of(names[i]),
        "country": lambda i: names[i] if facts.has_flag_of_its_own(data.characters[i]) else None,
    }[kind]
    return np.array([of(i) or "" for i in range(len(data))])


def _genders(data):
    found = np.full(len(data), "", "<U5")
    for genders in facts.figures(data).values():
        for gender in ("woman", "man"):
            found[list(genders[gender].values())] = gender
    return found
