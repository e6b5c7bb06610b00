"""Templates of statements about two pictures."""

import dataclasses
from collections.abc import Callable

from emoji_tasks.categories import KINDS, with_article

NUMBERS = {2: "two", 3: "three"}


@dataclasses.dataclass(frozen=True)
class Template:
    """A statement about one or two kinds of things, in several wordings.

    Attributes:
        kind: `"presence"`, `"count"` or `"comparison"`.
        wordings: Format strings with `{one}`, `{a}` and `{many}` of the first kind, `{others}` of
            the second kind, and `{n}`.
        holds: Function of three arguments: the numbers of both kinds on the left, the numbers of
            both kinds on the right, and `n`. Returns whether the statement is true.
        numbers: Possible values of `n`.
    """

    kind: str
    wordings: tuple[str, ...]
    holds: Callable
    numbers: tuple[int, ...] = (0,)

    def text(self, wording, first, second, n):
        """Returns the statement about two of `KINDS`."""
        return self.wordings[wording].format(
            one=first,
            a=with_article(first),
            many=KINDS[first].many,
            others=KINDS[second].many,
            n=NUMBERS.get(n),
        )


TEMPLATES = (
    Template(
        "presence",
        (
            "There is {a} in the left picture.",
            "The left picture shows at least one {one}.",
            "You can see {a} on the left.",
        ),
        lambda left, right, n: left[0] >= 1,
    ),
    Template(
        "presence",
        (
            "There is {a} in the right picture.",
            "The right picture shows at least one {one}.",
            "You can see {a} on the right.",
        ),
        lambda left, right, n: right[0] >= 1,
    ),
    Template(
        "presence",
        ("Both pictures show {a}.", "There is {a} in each of the two pictures."),
        lambda left, right, n: left[0] >= 1 and right[0] >= 1,
    ),
    Template(
        "presence",
        ("Neither picture shows {a}.", "There are no {many} in either picture."),
        lambda left, right, n: left[0] + right[0] == 0,
    ),
    Template(
        "presence",
        (
            "Only one of the two pictures shows {a}.",
            "One picture shows {a} and the other does not.",
        ),
        lambda left, right, n: (left[0] >= 1) != (right[0] >= 1),
    ),
    Template(
        "presence",
        ("At least one of the pictures shows {a}.", "There is {a} in one picture or in both."),
        lambda left, right, n: left[0] + right[0] >= 1,
    ),
    Template(
        "count",
        (
            "There are exactly {n} {many} in the left picture.",
            "The left picture shows exactly {n} {many}.",
        ),
        lambda left, right, n: left[0] == n,
        (2, 3),
    ),
    Template(
        "count",
        (
            "There are exactly {n} {many} in the right picture.",
            "The right picture shows exactly {n} {many}.",
        ),
        lambda left, right, n: right[0] == n,
        (2, 3),
    ),
    Template(
        "count",
        (
            "There are exactly {n} {many} in all.",
            "Together, the two pictures show exactly {n} {many}.",
        ),
        lambda left, right, n: left[0] + right[0] == n,
        (2, 3),
    ),
    Template(
        "count",
        (
            "There are at least {n} {many} in all.",
            "Together, the two pictures show {n} {many} or more.",
        ),
        lambda left, right, n: left[0] + right[0] >= n,
        (2, 3),
    ),
    Template(
        "comparison",
        (
            "The left picture has more {many} than the right one.",
            "There are more {many} on the left than on the right.",
        ),
        lambda left, right, n: left[0] > right[0],
    ),
    Template(
        "comparison",
        (
            "The right picture has more {many} than the left one.",
            "There are more {many} on the right than on the left.",
        ),
        lambda left, right, n: right[0] > left[0],
    ),
    Template(
        "comparison",
        (
            "Both pictures have the same number of {many}.",
            "There are as many {many} on the left as on the right.",
        ),
        lambda left, right, n: left[0] == right[0],
    ),
    Template(
        "comparison",
        (
            "The left picture has more {many} than {others}.",
            "On the left there are more {many} than {others}.",
        ),
        lambda left, right, n: left[0] > left[1],
    ),
    Template(
        "comparison",
        (
            "The right picture has more {many} than {others}.",
            "On the right there are more {many} than {others}.",
        ),
        lambda left, right, n: right[0] > right[1],
    ),
    Template(
        "comparison",
        (
            "There are more {many} than {others} in all.",
            "Together, the two pictures have more {many} than {others}.",
        ),
        lambda left, right, n: left[0] + right[0] > left[1] + right[1],
    ),
)
