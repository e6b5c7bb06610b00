"""The searches that are measured: words to drawings, and a drawing to other artists' drawings."""

import math
from typing import NamedTuple

import numpy as np

import keras_contrastive as kc
from icon_parts.data import NEW_ARTIST

ARTIST, FAMILIES = "new artist", "unseen families"
WORDS, DRAWINGS = "words", "drawing"
TASKS = ((ARTIST, WORDS), (ARTIST, DRAWINGS), (FAMILIES, WORDS), (FAMILIES, DRAWINGS))


class Search(NamedTuple):
    """Row numbers of queries and of the drawings that are searched."""

    queries: np.ndarray
    corpus: np.ndarray


def searches(drawings, learn, data, task):
    """Returns the searches of a task, a list of `Search`.

    Args:
        drawings: All `Drawings`.
        learn: Mask of the drawings of the training.
        data: `ARTIST`, the drawings of the new artist, or `FAMILIES`, those of unseen families.
        task: `WORDS`, the drawings of a name, or `DRAWINGS`, other artists' drawings of the thing.
            Drawings of the new artist are searched among those of the training.
    """
    new = drawings.artists == NEW_ARTIST
    rows = np.flatnonzero(new if data == ARTIST else drawings.split == "test")
    if task == WORDS:
        first = np.unique(drawings.concepts[rows], return_index=True)[1]
        return [Search(rows[first], rows)]
    if data == ARTIST:
        return [_with_answer(drawings.concepts, rows, np.flatnonzero(learn))]
    artists = drawings.artists[rows]
    pairs = [(rows[artists == one], rows[artists != one]) for one in np.unique(artists)]
    found = [_with_answer(drawings.concepts, *pair) for pair in pairs]
    return [search for search in found if len(search.queries)]


def _with_answer(concepts, queries, corpus):
    return Search(queries[np.isin(concepts[queries], concepts[corpus])], corpus)


def measure(found, queries, corpus, concepts):
    """Measures searches by cosine.

    Args:
        found: List of `Search`.
        queries: `(drawings, dim)`, the vectors of the queries: of the names or of the drawings.
        corpus: `(drawings, dim)`, the vectors that are searched.
        concepts: `(drawings,)`, the ids.

    Returns:
        A dict of arrays, one value for each query. See `kc.evaluation.retrieval`.
    """
    results = [
        kc.evaluation.retrieval(
            queries[search.queries],
            corpus[search.corpus],
            concepts[search.queries],
            concepts[search.corpus],
            k=(1, 10),
            metrics=("hit_rate_at_k", "mrr"),
            per_query=True,
        )
        for search in found
    ]
    return {name: np.concatenate([one[name] for one in results]) for name in results[0]}


def chance(found, concepts):
    """Returns the expected hit rates of a random order, a dict of floats."""
    rates = {1: [], 10: []}
    for queries, corpus in found:
        counts = np.bincount(concepts[corpus], minlength=concepts.max() + 1)
        for relevant in counts[concepts[queries]]:
            for k, values in rates.items():
                values.append(1 - math.comb(len(corpus) - relevant, k) / math.comb(len(corpus), k))
    return {f"hit_rate_at_{k}": float(np.mean(values)) for k, values in rates.items()}
