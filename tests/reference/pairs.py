"""Statistics of positive and negative pairs in float64, with a loop over anchors and candidates.

Batches are lists of `(views, ids, weights)`. `ids` and `weights` may be `None`. A row of weight 0
is in no pair. A single view is compared with itself.
"""

import itertools
import math

import numpy as np

from tests.reference.recall import cosine


def mean_over_anchors(batches, of_anchor):
    """Returns the weighted mean of a statistic over the anchors that have one, in all directions.

    Args:
        batches: See above.
        of_anchor: Function of the cosines of an anchor with its positives and its negatives.
            Returns the statistic, or `None` if the anchor has none.
    """
    total, weight = 0.0, 0.0
    for views, ids, weights in batches:
        count = len(views[0])
        ids = range(count) if ids is None else ids
        weights = np.ones(count) if weights is None else weights
        places = list(itertools.permutations(range(len(views)), 2)) or [(0, 0)]
        for (a, b), i in itertools.product(places, range(count)):
            others = [j for j in range(count) if weights[j] and (a != b or j != i)]
            cosines = {j: cosine(views[a][i], views[b][j]) for j in others}
            if a != b:
                positives = [cosines[i]] if i in cosines else []
            else:
                positives = [c for j, c in cosines.items() if ids[j] == ids[i]]
            negatives = [c for j, c in cosines.items() if ids[j] != ids[i]]
            value = of_anchor(positives, negatives)
            if value is not None and weights[i]:
                total += weights[i] * value / len(places)
                weight += weights[i] / len(places)
    return total / weight if weight else 0.0


def positive_similarity(batches):
    return mean_over_anchors(
        batches, lambda positives, _: np.mean(positives) if positives else None
    )


def hardest_negative(batches):
    return mean_over_anchors(batches, lambda _, negatives: max(negatives) if negatives else None)


def effective_negatives(batches, temperature):
    def of_anchor(_, negatives):
        if not negatives:
            return None
        shares = np.exp(np.array(negatives) / temperature)
        shares /= shares.sum()
        return math.exp(-sum(p * math.log(p) for p in shares if p))

    return mean_over_anchors(batches, of_anchor)
