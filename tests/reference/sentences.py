"""The meaning of the sentences of the tasks, read from their English."""

import re

NUMBERS = {"two": 2, "three": 3}


def noun_counts(counts, noun):
    """Returns the numbers on the left and on the right of a singular or plural noun."""
    for (one, many), (left, right) in counts.items():
        if noun in (one, many):
            return left, right
    raise KeyError(noun)


def is_true(statement, counts):
    """Returns whether a statement about two pictures is true.

    Args:
        statement: English.
        counts: `{(singular, plural): (number on the left, number on the right)}`.
    """
    text = statement.rstrip(".")
    number = re.search(r"\b(two|three) (?!pictures)", text)
    n = NUMBERS[number[1]] if number else 0
    text = re.sub(r"\b(two|three) (?!pictures)", "", text)

    def pair(noun):
        return noun_counts(counts, noun)

    rules = [
        (r"There is an? (.+) in the left picture", lambda a: pair(a)[0] > 0),
        (r"The left picture shows at least one (.+)", lambda a: pair(a)[0] > 0),
        (r"You can see an? (.+) on the left", lambda a: pair(a)[0] > 0),
        (r"There is an? (.+) in the right picture", lambda a: pair(a)[1] > 0),
        (r"The right picture shows at least one (.+)", lambda a: pair(a)[1] > 0),
        (r"You can see an? (.+) on the right", lambda a: pair(a)[1] > 0),
        (r"Both pictures show an? (.+)", lambda a: min(pair(a)) > 0),
        (r"There is an? (.+) in each of the two pictures", lambda a: min(pair(a)) > 0),
        (r"Neither picture shows an? (.+)", lambda a: sum(pair(a)) == 0),
        (r"There are no (.+) in either picture", lambda a: sum(pair(a)) == 0),
        (
            r"Only one of the two pictures shows an? (.+)",
            lambda a: min(pair(a)) == 0 < max(pair(a)),
        ),
        (
            r"One picture shows an? (.+) and the other does not",
            lambda a: min(pair(a)) == 0 < max(pair(a)),
        ),
        (r"At least one of the pictures shows an? (.+)", lambda a: max(pair(a)) > 0),
        (r"There is an? (.+) in one picture or in both", lambda a: max(pair(a)) > 0),
        (r"There are exactly (.+) in the left picture", lambda a: pair(a)[0] == n),
        (r"The left picture shows exactly (.+)", lambda a: pair(a)[0] == n),
        (r"There are exactly (.+) in the right picture", lambda a: pair(a)[1] == n),
        (r"The right picture shows exactly (.+)", lambda a: pair(a)[1] == n),
        (r"There are exactly (.+) in all", lambda a: sum(pair(a)) == n),
        (r"Together, the two pictures show exactly (.+)", lambda a: sum(pair(a)) == n),
        (r"There are at least (.+) in all", lambda a: sum(pair(a)) >= n),
        (r"Together, the two pictures show (.+) or more", lambda a: sum(pair(a)) >= n),
        (r"The left picture has more (.+) than the right one", lambda a: pair(a)[0] > pair(a)[1]),
        (r"There are more (.+) on the left than on the right", lambda a: pair(a)[0] > pair(a)[1]),
        (r"The right picture has more (.+) than the left one", lambda a: pair(a)[1] > pair(a)[0]),
        (r"There are more (.+) on the right than on the left", lambda a: pair(a)[1] > pair(a)[0]),
        (r"Both pictures have the same number of (.+)", lambda a: pair(a)[0] == pair(a)[1]),
        (r"There are as many (.+) on the left as on the right", lambda a: pair(a)[0] == pair(a)[1]),
        (r"The left picture has more (.+) than (.+)", lambda a, b: pair(a)[0] > pair(b)[0]),
        (r"On the left there are more (.+) than (.+)", lambda a, b: pair(a)[0] > pair(b)[0]),
        (r"The right picture has more (.+) than (.+)", lambda a, b: pair(a)[1] > pair(b)[1]),
        (r"On the right there are more (.+) than (.+)", lambda a, b: pair(a)[1] > pair(b)[1]),
        (r"There are more (.+) than (.+) in all", lambda a, b: sum(pair(a)) > sum(pair(b))),
        (
            r"Together, the two pictures have more (.+) than (.+)",
            lambda a, b: sum(pair(a)) > sum(pair(b)),
        ),
    ]
    for pattern, rule in rules:
        match = re.fullmatch(pattern, text)
        if match:
            return bool(rule(*match.groups()))
    raise ValueError(f"No rule reads this statement: {statement}")


def follows(sentence, counts, hidden):
    """Returns whether a picture entails (2), leaves open (1) or contradicts (0) a sentence.

    Args:
        sentence: English.
        counts: `{(singular, plural): number of visible drawings}`.
        hidden: Number of hidden drawings. Each may be of any kind.
    """
    match = re.fullmatch(
        r"(?P<least>There are at least two|The picture holds two"
        r"|More than one of the drawings is an?)?"
        r"(?P<most>There is at most one|The picture holds no more than one"
        r"|Fewer than two of the drawings are)?"
        r" (?P<noun>.+?)( or more)?\.",
        sentence,
    )
    visible = next(number for names, number in counts.items() if match["noun"] in names)
    # The truth of the sentence for each possible number.
    truths = {
        number >= 2 if match["least"] else number <= 1
        for number in range(visible, visible + hidden + 1)
    }
    return 1 if len(truths) == 2 else 2 * truths.pop()
