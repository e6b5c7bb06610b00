"""What the sentences of the tasks say, read from their English, without the code that wrote them."""

import re

NUMBERS = {"two": 2, "three": 3}


def noun_counts(counts, noun):
    """Numbers on the left and on the right of what a noun, in the singular or the plural, names."""
    for (one, many), (left, right) in counts.items():
        if noun in (one, many):
            return left, right
    raise KeyError(noun)


def is_true(statement, counts):
    """Whether a statement on two pictures is true.

    Args:
        statement: English.
        counts: `{(singular, plural): (number on the left, number on the right)}`.
    """
    text = statement.rstrip(".")
    number = re.search(r"\b(two|three) (?!pictures)", text)
    n = NUMBERS[number[1]] if number else 0
    text = re.sub(r"\b(two|three) (?!pictures)", "", text)

    def of(noun):
        return noun_counts(counts, noun)

    rules = [
        (r"There is an? (.+) in the left picture", lambda a: of(a)[0] > 0),
        (r"The left picture shows at least one (.+)", lambda a: of(a)[0] > 0),
        (r"You can see an? (.+) on the left", lambda a: of(a)[0] > 0),
        (r"There is an? (.+) in the right picture", lambda a: of(a)[1] > 0),
        (r"The right picture shows at least one (.+)", lambda a: of(a)[1] > 0),
        (r"You can see an? (.+) on the right", lambda a: of(a)[1] > 0),
        (r"Both pictures show an? (.+)", lambda a: min(of(a)) > 0),
        (r"There is an? (.+) in each of the two pictures", lambda a: min(of(a)) > 0),
        (r"Neither picture shows an? (.+)", lambda a: sum(of(a)) == 0),
        (r"There are no (.+) in either picture", lambda a: sum(of(a)) == 0),
        (r"Only one of the two pictures shows an? (.+)", lambda a: min(of(a)) == 0 < max(of(a))),
        (
            r"One picture shows an? (.+) and the other does not",
            lambda a: min(of(a)) == 0 < max(of(a)),
        ),
        (r"At least one of the pictures shows an? (.+)", lambda a: max(of(a)) > 0),
        (r"There is an? (.+) in one picture or in both", lambda a: max(of(a)) > 0),
        (r"There are exactly (.+) in the left picture", lambda a: of(a)[0] == n),
        (r"The left picture shows exactly (.+)", lambda a: of(a)[0] == n),
        (r"There are exactly (.+) in the right picture", lambda a: of(a)[1] == n),
        (r"The right picture shows exactly (.+)", lambda a: of(a)[1] == n),
        (r"There are exactly (.+) in all", lambda a: sum(of(a)) == n),
        (r"Together, the two pictures show exactly (.+)", lambda a: sum(of(a)) == n),
        (r"There are at least (.+) in all", lambda a: sum(of(a)) >= n),
        (r"Together, the two pictures show (.+) or more", lambda a: sum(of(a)) >= n),
        (r"The left picture has more (.+) than the right one", lambda a: of(a)[0] > of(a)[1]),
        (r"There are more (.+) on the left than on the right", lambda a: of(a)[0] > of(a)[1]),
        (r"The right picture has more (.+) than the left one", lambda a: of(a)[1] > of(a)[0]),
        (r"There are more (.+) on the right than on the left", lambda a: of(a)[1] > of(a)[0]),
        (r"Both pictures have the same number of (.+)", lambda a: of(a)[0] == of(a)[1]),
        (r"There are as many (.+) on the left as on the right", lambda a: of(a)[0] == of(a)[1]),
        (r"The left picture has more (.+) than (.+)", lambda a, b: of(a)[0] > of(b)[0]),
        (r"On the left there are more (.+) than (.+)", lambda a, b: of(a)[0] > of(b)[0]),
        (r"The right picture has more (.+) than (.+)", lambda a, b: of(a)[1] > of(b)[1]),
        (r"On the right there are more (.+) than (.+)", lambda a, b: of(a)[1] > of(b)[1]),
        (r"There are more (.+) than (.+) in all", lambda a, b: sum(of(a)) > sum(of(b))),
        (
            r"Together, the two pictures have more (.+) than (.+)",
            lambda a, b: sum(of(a)) > sum(of(b)),
        ),
    ]
    for pattern, rule in rules:
        found = re.fullmatch(pattern, text)
        if found:
            return bool(rule(*found.groups()))
    raise ValueError(f"what is this to mean? {statement}")


def follows(sentence, counts, hidden):
    """Whether a picture entails (2), leaves open (1) or contradicts (0) a sentence on how many there are.

    Args:
        sentence: English.
        counts: `{(singular, plural): number that can be seen}`.
        hidden: How many drawings cannot be seen; each may be of any kind.
    """
    found = re.fullmatch(
        r"(?P<least>There are at least two|The picture holds two|More than one of the drawings is an?)?"
        r"(?P<most>There is at most one|The picture holds no more than one|Fewer than two of the drawings are)?"
        r" (?P<noun>.+?)( or more)?\.",
        sentence,
    )
    seen = next(number for names, number in counts.items() if found["noun"] in names)
    # Each number that there may be, and whether the sentence would be true.
    truths = {
        number >= 2 if found["least"] else number <= 1 for number in range(seen, seen + hidden + 1)
    }
    return 1 if len(truths) == 2 else 2 * truths.pop()
