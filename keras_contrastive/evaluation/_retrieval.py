"""Retrieval: the places of the relevant rows in a whole corpus."""

import math
from collections.abc import Iterable
from typing import Literal, overload

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array, ArrayLike
from keras_contrastive.evaluation._inputs import (
    all_finite,
    checked_ranks,
)
from keras_contrastive.evaluation._places import places_of
from keras_contrastive.evaluation._relevance import Relevance
from keras_contrastive.evaluation._relevance_checks import check_sets, equal_ids, listed_pairs
from keras_contrastive.evaluation._retrieval_measures import (
    METRICS,
    measures_of,
    names_of,
    needs_all,
)
from keras_contrastive.evaluation._standard_error import mean_and_error

DEFAULT_METRICS = ("hit_rate_at_k", "recall_at_k", "median_rank", "mrr")
_RANKS = ("mean_rank", "median_rank")


@overload
def retrieval(
    queries: ArrayLike,
    corpus: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    corpus_ids: ArrayLike | None = None,
    *,
    relevant: ArrayLike | None = None,
    exclude_self: bool = False,
    k: Iterable[int] = ...,
    metrics: Iterable[str] = ...,
    per_query: Literal[False] = False,
) -> dict[str, float]: ...


@overload
def retrieval(
    queries: ArrayLike,
    corpus: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    corpus_ids: ArrayLike | None = None,
    *,
    relevant: ArrayLike | None = None,
    exclude_self: bool = False,
    k: Iterable[int] = ...,
    metrics: Iterable[str] = ...,
    per_query: Literal[True],
) -> dict[str, Array]: ...


def retrieval(
    queries: ArrayLike,
    corpus: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    corpus_ids: ArrayLike | None = None,
    *,
    relevant: ArrayLike | None = None,
    exclude_self: bool = False,
    k: Iterable[int] = (1, 5, 10),
    metrics: Iterable[str] = DEFAULT_METRICS,
    per_query: bool = False,
) -> dict[str, float] | dict[str, Array]:
    """Searches a corpus for each query, by cosine, and measures where the relevant rows are.

    A row with the id of the query is relevant, or the rows that `relevant` lists. The place of a
    relevant row is one more than the number of other rows before it. Ties count against it: rows
    that are not relevant come first, and of relevant rows, those with lower grades.

    If an embedding is NaN or infinite, all measures are NaN. Cosines are computed in tiles; see
    `keras_contrastive.config.set_tile_shape`.

    With one relevant row for each query, recall@k is the hit rate. With several, image retrieval
    often calls the hit rate "recall@k" (CLIP, COCO, Flickr30k), so both are reported:

    | metric | value of a query with R relevant rows |
    | --- | --- |
    | `hit_rate_at_k` | 1 if a relevant row is among the first k, else 0 |
    | `recall_at_k` | share of its relevant rows that are among the first k |
    | `precision_at_k` | share of the first k that is relevant |
    | `mrr`, `mrr_at_k` | 1 / place of the first relevant row, 0 beyond the cut |
    | `map`, `map_at_k` | sum of the precisions at the places of relevant rows, up to k, over R |
    | `map_at_r` | the same up to the place R (Musgrave et al.) |
    | `r_precision` | share of the first R that is relevant |
    | `ndcg`, `ndcg_at_k` | sum of grade / log2(1 + place), over that of the best order |
    | `mean_rank`, `median_rank` | place of the first relevant row |

    Args:
        queries: Float array `(num_queries, dim)`.
        corpus: Float array `(num_rows, dim)`. `None` stands for the queries, with
            `exclude_self=True`.
        query_ids: Int array `(num_queries,)`. Defaults to the row numbers: row i of the corpus is
            then relevant to query i. With several captions for each image, pass the ids of both.
        corpus_ids: Int array `(num_rows,)`. Defaults to the row numbers.
        relevant: Relevant pairs instead of ids: int array `(pairs, 2)` of query and row of the
            corpus, or `(pairs, 3)` with a grade. Rows of grade 0 and rows that are not listed are
            not relevant. Queries without a relevant row are left out of all means.
        exclude_self: Whether row i of the corpus is query i, and neither relevant to it nor ranked.
            Use it if one set of rows is both, with labels as ids. The ids of both are then equal,
            and those of one are enough.
        k: Positive integers, the cuts of the metrics with the suffix `_at_k`.
        metrics: Names of metrics, as in the table. `"recall_at_k"` stands for one at each cut.
        per_query: Whether to return the value of each query instead of the mean.

    Returns:
        A dict of floats by name, such as `recall_at_5` and `mrr`. Each mean over the queries is
        followed by its standard error, such as `recall_at_5_error`. `median_rank` has none. With
        `per_query`, a dict of float arrays `(num_queries,)`, NaN for a query without a relevant
        row. `rank` then stands for `mean_rank` and `median_rank`. See `compare`.

        Random embeddings have a hit rate of about `k * R / num_rows`.

    Raises:
        TypeError: If an argument has the wrong type, or ids are not integers.
        ValueError: If shapes or ids do not match, or the id of a query is not in the corpus.

    Warns:
        UserWarning: If the corpus has several rows for each query, and there are no ids.

    Reference:
        - [Manning et al., 2008](https://nlp.stanford.edu/IR-book/), Sec. 8.4, for `map`, `ndcg` and
          `r_precision`. `map_at_k` and `ndcg_at_k` are those of TREC.
        - [Musgrave et al., 2020](https://arxiv.org/abs/2003.08505), Sec. 3.2, for `map_at_r`.
        - [Song et al., 2016](https://arxiv.org/abs/1511.06452), Sec. 5, for `exclude_self`.

    Example:

    >>> metrics = ("recall_at_k", "median_rank", "mrr")
    >>> results = retrieval(np.eye(3), np.eye(3)[[0, 2, 1]], k=(1, 3), metrics=metrics)
    >>> for name, value in results.items():
    ...     print(f"{name} {value:.3f}")
    recall_at_1 0.333
    recall_at_1_error 0.333
    recall_at_3 1.000
    recall_at_3_error 0.000
    median_rank 3.000
    mrr 0.556
    mrr_error 0.222

    Labeled rows that are searched from each other:

    >>> rows, labels = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]]), np.array([7, 7, 7])
    >>> retrieval(rows, query_ids=labels, k=(1,), metrics=["r_precision"], per_query=True)
    {'r_precision': array([1., 1., 1.])}
    """
    per_query = _checks.boolean("per_query", per_query)
    k, metrics = checked_ranks(k), checked_metrics(metrics)
    queries, corpus, exclude_self = check_sets(queries, corpus, exclude_self)
    sizes = len(queries), len(corpus)
    if relevant is None:
        if query_ids is None and corpus_ids is None:
            _warn_of_several_rows_for_each_query(*sizes)
        relevance = equal_ids(query_ids, corpus_ids, *sizes, exclude_self)
    elif query_ids is None and corpus_ids is None:
        relevance = listed_pairs(relevant, *sizes, exclude_self)
    else:
        raise ValueError(
            "`relevant` must be None if ids are given. Received: both. Pass the pairs or the ids."
        )
    values = _values_of_queries(queries, corpus, relevance, metrics, k)
    if per_query:
        return {"rank" if name in _RANKS else name: value for name, value in values.items()}
    return _means(values)


def _warn_of_several_rows_for_each_query(num_queries: int, num_rows: int) -> None:
    if num_queries > 1 and num_rows > num_queries and num_rows % num_queries == 0:
        _checks.warn(
            f"`corpus` has {num_rows // num_queries} rows for each of {num_queries} queries, and "
            "there are no ids. Only row i is then relevant to query i. If a query has several "
            "relevant rows, such as the captions of an image, pass `query_ids` and `corpus_ids`. "
            "If not, pass the row numbers as ids."
        )


def _values_of_queries(
    queries: Array,
    corpus: Array,
    relevance: Relevance,
    metrics: tuple[str, ...],
    k: tuple[int, ...],
) -> dict[str, Array]:
    names = names_of(metrics, k)
    if not all_finite(queries, corpus):
        return {name: np.full(len(queries), math.nan) for name in names}
    most = int(relevance.counts.max())
    if not needs_all(metrics, relevance.is_graded):
        most = min(most, max(k, default=1))
    blocks = [
        measures_of(places, metrics, k) for places in places_of(queries, corpus, relevance, most)
    ]
    values = {name: np.concatenate([block[name] for block in blocks]) for name in names}
    return {name: np.where(relevance.counts > 0, value, math.nan) for name, value in values.items()}


def _means(values: dict[str, Array]) -> dict[str, float]:
    """Returns the mean of each measure over the queries with a value, and its standard error."""
    results = {}
    for name, value in values.items():
        known = value[~np.isnan(value)]
        if name == "median_rank":
            results[name] = float(np.median(known)) if len(known) else math.nan
        else:
            results[name], results[f"{name}_error"] = mean_and_error(known)
    return results


def checked_metrics(metrics: Iterable[str]) -> tuple[str, ...]:
    names = (metrics,) if isinstance(metrics, str) or metrics is None else tuple(metrics)
    unknown = [name for name in names if name not in METRICS]
    if unknown or isinstance(metrics, str):
        raise ValueError(
            f"`metrics` must be names of metrics: {', '.join(METRICS)}. "
            f"Received: metrics={metrics!r}."
        )
    return names
