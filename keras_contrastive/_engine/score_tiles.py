"""Cosines of queries and a corpus, tile by tile, with a Python loop over the tiles.

Each tile is padded to one shape, so JAX compiles each operation once, for all numbers of rows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from keras import ops

from keras_contrastive._engine.normalize import normalize
from keras_contrastive._engine.running_top import RunningTop
from keras_contrastive._typing import Array, Tensor

# Function of a slice of queries, a slice of corpus rows and their scores `(queries, rows)`. Returns
# which pairs count, bool `(queries, rows)`.
Keep: TypeAlias = Callable[[slice, slice, Array], Array]

# Blocks have a multiple of this number of rows. Matrix products compute the last rows of other
# sizes with another order of sums, so that the cosines of equal rows would differ.
_ROWS = 64
_FEW_THRESHOLDS = 16  # so many comparisons of a tile take less time than sorting it


class Block(NamedTuple):
    """Unit rows of consecutive queries, or of consecutive corpus rows.

    Args:
        rows: Which rows they are.
        unit: Float32 tensor `(padded, dim)`. Later rows than those of `rows` are zero.
    """

    rows: slice
    unit: Tensor


def unit_blocks(chunks: Iterable[Array], size: int) -> Iterator[Block]:
    """Normalizes rows in blocks of `size`.

    Args:
        chunks: Arrays `(rows, dim)` of finite real numbers, of any numbers of rows.
        size: Positive integer.

    Yields:
        Blocks, full ones except for the last.
    """
    padded = -(-size // _ROWS) * _ROWS
    first, count, buffer = 0, 0, None
    for chunk in chunks:
        start = 0
        while start < len(chunk):
            if buffer is None:  # a new one, because tensors may share its memory
                buffer = np.zeros((padded, chunk.shape[1]), "float32")
            part = chunk[start : start + size - count]
            buffer[count : count + len(part)] = part
            start, count = start + len(part), count + len(part)
            if count == size:
                yield _block(buffer, first, count)
                first, count, buffer = first + count, 0, None
    if buffer is not None:
        yield _block(buffer, first, count)


def _block(buffer: Array, first: int, count: int) -> Block:
    return Block(slice(first, first + count), normalize(ops.convert_to_tensor(buffer)))


def nearest_rows(
    queries: Sequence[Block], corpus: Iterable[Block], k: int, keep: Keep | None = None
) -> tuple[Array, Array]:
    """Finds the rows of a corpus with the largest cosines. Ties are in the order of the rows.

    Args:
        queries: Consecutive blocks of queries.
        corpus: Blocks of the corpus, visited once.
        k: Positive integer.
        keep: Which pairs count, or `None` for all.

    Returns:
        Cosines, float32 `(num_queries, k)`, in descending order, and row numbers, int64. If a query
        has fewer pairs, the last ones are -inf and -1.
    """
    tops = [RunningTop(block.rows.stop - block.rows.start, k) for block in queries]
    for tile in corpus:
        for block, top in zip(queries, tops, strict=True):
            top.add(_scores(block, tile, keep), tile.rows.start)
    scores, rows = zip(*(top.result() for top in tops), strict=True)
    return np.concatenate(scores), np.concatenate(rows)


def count_at_least(
    queries: Block, corpus: Iterable[Block], thresholds: Array, keep: Keep | None = None
) -> Array:
    """Counts the pairs of each query whose cosine is at least a threshold.

    Args:
        queries: A block of queries.
        corpus: Blocks of the corpus, visited once.
        thresholds: Float array `(num_queries, k)`.
        keep: See `nearest_rows`.

    Returns:
        Int64 array `(num_queries, k)`.
    """
    thresholds = thresholds.astype("float32")
    counts = np.zeros(thresholds.shape, "int64")
    for tile in corpus:
        scores = _scores(queries, tile, keep)
        if thresholds.shape[1] <= _FEW_THRESHOLDS:
            for column, threshold in enumerate(thresholds.T):
                counts[:, column] += np.count_nonzero(scores >= threshold[:, None], axis=1)
        else:
            scores = np.sort(scores, axis=1)
            below = map(np.searchsorted, scores, thresholds)
            counts += scores.shape[1] - np.stack(list(below))
    return counts


def _scores(queries: Block, corpus: Block, keep: Keep | None) -> Array:
    """Returns cosines `(queries, rows)`, -inf for pairs that do not count."""
    scores = ops.convert_to_numpy(ops.matmul(queries.unit, ops.transpose(corpus.unit)))
    num_queries, num_rows = (x.stop - x.start for x in (queries.rows, corpus.rows))
    scores = scores[:num_queries, :num_rows]
    if keep is None:
        return scores
    return np.where(keep(queries.rows, corpus.rows, scores), scores, np.float32(-np.inf))
