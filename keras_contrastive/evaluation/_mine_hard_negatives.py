"""Hard negatives: rows of a corpus that are near a query and have another id."""

from typing import Literal

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._engine import Block, count_at_least, nearest_rows
from keras_contrastive._typing import Array, ArrayLike
from keras_contrastive.evaluation._inputs import check_finite
from keras_contrastive.evaluation._relevance import Relevance
from keras_contrastive.evaluation._relevance_checks import check_sets, equal_ids
from keras_contrastive.evaluation._search import corpus_blocks, query_blocks

_POOL = 10  # random negatives are drawn from so many times their number
_BELOW_ALL = -2.0  # less than any cosine


def mine_hard_negatives(
    queries: ArrayLike,
    corpus: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    corpus_ids: ArrayLike | None = None,
    num_negatives: int = 5,
    *,
    skip: int = 10,
    relative_margin: float | None = None,
    sampling: Literal["top", "random"] = "top",
    seed: int = 0,
) -> Array:
    """Finds rows of a corpus that are near each query, by cosine, but have another id.

    Use them as `hard_negatives` of a `ContrastiveTrainer`. The nearest rows of other ids are often
    relevant rows without the right id (false negatives). `skip` and `relative_margin` leave them
    out.

    Args:
        queries: Float array `(num_queries, dim)`.
        corpus: Float array `(num_rows, dim)`. `None` stands for the queries.
        query_ids: Int array `(num_queries,)`. Defaults to the row numbers.
        corpus_ids: Int array `(num_rows,)`. Defaults to the row numbers.
        num_negatives: Positive integer, the number of negatives of each query.
        skip: Non-negative integer. How many of the nearest rows with other ids are left out.
        relative_margin: `None`, or a float in [0, 1). Rows are left out if their cosine is above
            `s - relative_margin * abs(s)`, where `s` is that of the nearest row with the id of the
            query. At 0.05, a negative is at most 95 % as similar as that row.
        sampling: `"top"` for the nearest of the remaining rows, or `"random"` to draw them from the
            `10 * num_negatives` nearest.
        seed: Non-negative integer, the seed of the draws.

    Returns:
        Row numbers, int64 `(num_queries, num_negatives)`, the nearest first. No row has the id of
        its query, and no row occurs twice for one query. If too few rows remain for a query, the
        last ones are -1, with a warning.

    Raises:
        TypeError: If an argument has the wrong type, or ids are not integers.
        ValueError: If shapes do not match, or an embedding is NaN or infinite. With
            `relative_margin`, also if no row has the id of a query.

    Reference:
        - [Moreira et al., 2024](https://arxiv.org/abs/2407.15831), Sec. 3, for `relative_margin`
          (TopK-PercPos).

    Example:

    >>> corpus = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.5], [0.0, 1.0]])
    >>> mine_hard_negatives(corpus[:1], corpus, [0], [0, 1, 2, 3], num_negatives=2, skip=0)
    array([[1, 2]])
    >>> mine_hard_negatives(
    ...     corpus[:1], corpus, [0], [0, 1, 2, 3], num_negatives=2, skip=0, relative_margin=0.05
    ... )
    array([[2, 3]])
    """
    num_negatives = _checks.positive_int("num_negatives", num_negatives)
    skip = _checks.non_negative_int("skip", skip)
    seed = _checks.non_negative_int("seed", seed)
    _checks.one_of("sampling", sampling, ("top", "random"))
    if relative_margin is not None:
        relative_margin = _checks.real("relative_margin", relative_margin, 0, 1, include_high=False)
    queries, corpus, exclude_self = check_sets(queries, corpus, False)
    relevance = equal_ids(
        query_ids,
        corpus_ids,
        len(queries),
        len(corpus),
        exclude_self,
        each_query=relative_margin is not None,
    )
    check_finite(queries, "queries")
    check_finite(corpus, "corpus")
    pool = num_negatives if sampling == "top" else _POOL * num_negatives
    blocks, tiles = query_blocks(queries), corpus_blocks(corpus)
    rows = np.concatenate(
        [_pool_of(block, tiles, relevance, pool, skip, relative_margin) for block in blocks]
    )
    if sampling == "random":
        keys = np.where(rows >= 0, np.random.default_rng(seed).random(rows.shape), 2.0)
        places = np.sort(np.argsort(keys, axis=1)[:, :num_negatives], axis=1)
        rows = np.take_along_axis(rows, places, axis=1)
    _warn_of_missing_rows(rows)
    return rows


def _pool_of(
    queries: Block,
    corpus: list[Block],
    relevance: Relevance,
    pool: int,
    skip: int,
    relative_margin: float | None,
) -> Array:
    """Returns the nearest remaining rows `(queries, pool)`, -1 if there are fewer."""
    if relative_margin is None:
        return nearest_rows([queries], corpus, skip + pool, relevance.is_negative)[1][:, skip:]
    positive = nearest_rows([queries], corpus, 1, relevance.is_relevant)[0]
    limit = positive - np.float32(relative_margin) * np.abs(positive)

    def is_allowed(queries: slice, rows: slice, scores: Array) -> Array:
        return relevance.is_negative(queries, rows, scores) & (scores <= limit)

    def is_above(queries: slice, rows: slice, scores: Array) -> Array:
        return relevance.is_negative(queries, rows, scores) & (scores > limit)

    rows = nearest_rows([queries], corpus, skip + pool, is_allowed)[1]
    skipped = count_at_least(queries, corpus, np.full_like(positive, _BELOW_ALL), is_above)
    first = np.maximum(skip - skipped, 0)
    return np.take_along_axis(rows, first + np.arange(pool), axis=1)


def _warn_of_missing_rows(rows: Array) -> None:
    missing = int(np.count_nonzero((rows < 0).any(axis=1)))
    if missing:
        _checks.warn(
            f"{missing} of {len(rows)} queries have fewer than {rows.shape[1]} remaining rows, and "
            "-1 stands for the missing ones. Pass a smaller `skip` or `relative_margin`, or train "
            "with the other queries: `kept = (rows >= 0).all(axis=1)`."
        )
