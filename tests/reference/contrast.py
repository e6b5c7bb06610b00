"""Reference of `Contrast`: loops over anchors and candidates in float64."""

import math

import numpy as np


class Contrast:
    """Stores the positive and the negative logits of each anchor in each direction."""

    def __init__(self, views, directions, ids, scale):
        views = [np.asarray(view, "float64") for view in views]
        ids = list(range(len(views[0]))) if ids is None else list(ids)
        self.directions = []
        for a, b in directions or [(0, 0)]:
            anchors = []
            for i in range(len(ids)):
                logits = [float(views[a][i] @ views[b][j]) * scale for j in range(len(ids))]
                negatives = [logits[j] for j in range(len(ids)) if ids[j] != ids[i]]
                if directions:
                    positives = [logits[i]]
                else:
                    positives = [logits[j] for j in range(len(ids)) if ids[j] == ids[i] and j != i]
                anchors.append((positives, negatives))
            self.directions.append(anchors)

    def _table(self, function, *tables):
        return np.array(
            [
                [
                    function(*self.directions[d][i], *(table[i][d] for table in tables))
                    for d in range(len(self.directions))
                ]
                for i in range(len(self.directions[0]))
            ]
        )

    @property
    def num_negatives(self):
        return self._table(lambda positives, negatives: len(negatives))

    @property
    def valid(self):
        return self._table(lambda positives, negatives: bool(positives and negatives))

    @property
    def positive_logit(self):
        return self._table(lambda positives, negatives: sum(positives) / max(len(positives), 1))

    @property
    def log_sum_negatives(self):
        """`-inf` where there are none."""
        return self._table(
            lambda positives, negatives: (
                math.log(sum(map(math.exp, negatives))) if negatives else -math.inf
            )
        )

    def mean_softplus(self, threshold):
        return self._table(
            lambda positives, negatives, limit: (
                sum(math.log1p(math.exp(limit - p)) for p in positives) / max(len(positives), 1)
            ),
            threshold,
        )

    def mean_share_polynomial(self, threshold, coefficients):
        def value(logit, limit):
            share = 1 / (1 + math.exp(logit - limit))
            return sum(c * share ** (n + 1) for n, c in enumerate(coefficients))

        return self._table(
            lambda positives, negatives, limit: (
                sum(value(p, limit) for p in positives) / max(len(positives), 1)
            ),
            threshold,
        )

    def log_sum_negatives_up_to(self, limit):
        """`-inf` where there are none."""

        def log_sum(positives, negatives, limit):
            total = sum(math.exp(n) for n in negatives if n <= limit)
            return math.log(total) if total else -math.inf

        return self._table(log_sum, limit)

    def log_complement_sum(self, reference, limit=None):
        limit = np.full_like(reference, math.inf) if limit is None else limit
        return self._table(
            lambda positives, negatives, reference, limit: sum(
                log_complement(n - reference) for n in negatives if n <= limit
            ),
            reference,
            limit,
        )


def log_complement(log_share, cap=-0.01):
    """log(1 - exp(x)) up to the cap, and beyond it the tangent there."""
    if log_share <= cap:
        return math.log1p(-math.exp(log_share))
    slope = -math.exp(cap) / (1 - math.exp(cap))
    return math.log1p(-math.exp(cap)) + slope * (log_share - cap)
