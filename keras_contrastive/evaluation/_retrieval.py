"""Retrieval: the rank of what belongs to a query in a whole corpus."""

import itertools

import numpy as np
from keras import ops

from keras_contrastive._engine import has_positive, nearest_positive, positive_ranks
from keras_contrastive.evaluation._callback import CorpusEvaluation
from keras_contrastive.evaluation._inputs import corpus, same_dim


def retrieval(queries, candidates, query_ids=None, candidate_ids=None, k=(1, 5, 10), tile=1024):
    """Search each query's positive among all candidates, by cosine.

    A candidate with the query's id is a positive; the nearest counts. The rank is one more than the number of
    other candidates that are at least as close, so ties are lost. No `(queries, candidates)` matrix is
    ever formed: memory is that of a `(tile, tile)` block.

    Args:
        queries: Float array `(num_queries, dim)`.
        candidates: Float array `(num_candidates, dim)`.
        query_ids: Int array `(num_queries,)`. Defaults to the row numbers.
        candidate_ids: Int array `(num_candidates,)`. Defaults to the row numbers.
        k: The ranks at which recall is reported.
        tile: Rows of a block.

    Returns:
        A dict of floats: `recall_at_{k}` in [0, 1] (about `k / num_candidates` for embeddings that know nothing),
        `median_rank` (1 is the best) and `mrr`, the mean of 1 / rank.

    Raises:
        ValueError: Shapes or ids that do not belong together, or a query without any positive.

    Example:
    >>> results = retrieval(np.eye(3), np.eye(3)[[0, 2, 1]], k=(1, 2))
    >>> {name: round(value, 3) for name, value in results.items()}
    {'recall_at_1': 0.333, 'recall_at_2': 0.333, 'median_rank': 3.0, 'mrr': 0.556}
    """
    queries, query_ids = corpus(queries, query_ids, "queries")
    candidates, candidate_ids = corpus(candidates, candidate_ids, "candidates")
    same_dim(queries, candidates, ("queries", "candidates"))
    ranks = ranks_of_positives(queries, candidates, query_ids, candidate_ids, tile)
    results = {f"recall_at_{n}": float(np.mean(ranks <= n)) for n in k}
    return results | {"median_rank": float(np.median(ranks)), "mrr": float(np.mean(1 / ranks))}


def ranks_of_positives(queries, candidates, query_ids, candidate_ids, tile):
    """The rank of each query's nearest positive among its negatives, 1 for the best, in NumPy; see `retrieval`."""
    ahead = []
    for start in range(0, queries.shape[0], tile):
        rows = slice(start, start + tile)
        among = candidates, query_ids[rows], candidate_ids
        nearest = nearest_positive(queries[rows], *among, tile=tile)
        found = ops.convert_to_numpy(has_positive(nearest))
        if not found.all():
            raise ValueError(
                f"Query {start + int(np.argmin(found))} has no candidate with its id. "
                "Are the ids of both from one data set?"
            )
        ahead.append(
            ops.convert_to_numpy(positive_ranks(queries[rows], *among, nearest, tile=tile))
        )
    return 1 + np.concatenate(ahead)


class RetrievalEvaluation(CorpusEvaluation):
    """Searches a held-out corpus at the end of each epoch, from each modality to each other.

    Its numbers join the epoch's `logs`, so they appear in the progress bar, in `History` and in other
    callbacks: `val_image_to_text_recall_at_10`, `val_text_to_image_mrr`, ... See `retrieval`.

    Args:
        x: Dict of arrays, as for the model's `predict`, which returns a dict of embeddings.
        ids: Int array `(rows,)`; rows with the same id belong together. Defaults to the row numbers.
        k: The ranks at which recall is reported.
        batch_size: Batch size of the prediction.
        every: Evaluate at the end of each `every`-th epoch, and of no other.
        prefix: Start of the names.
        embed: `None`, or a function of the model and `x` that returns the dict of embeddings to be searched, for
            models whose `predict` does not. One encoder and two sets of pictures:
            `lambda model, x: {name: model.predict(pictures, verbose=0) for name, pictures in x.items()}`.

    Raises:
        ValueError, TypeError: Arguments out of range; embeddings that are not a dict of at least two.
    """

    def __init__(
        self, x, ids=None, k=(1, 5, 10), batch_size=256, every=1, prefix="val_", embed=None
    ):
        super().__init__(every, prefix, batch_size)
        self.x = x
        self.ids = ids
        self.k = tuple(k)
        self.embed = embed

    def numbers(self):
        embeddings = self._embeddings()
        if not isinstance(embeddings, dict) or len(embeddings) < 2:
            raise TypeError(
                "`RetrievalEvaluation` needs a dict of embeddings by modality, at least two. "
                f"Received: {type(embeddings).__name__}. Pass `embed` for a model that returns one tensor."
            )
        return {
            f"{a}_to_{b}_{name}": value
            for a, b in itertools.permutations(embeddings, 2)
            for name, value in retrieval(
                embeddings[a], embeddings[b], self.ids, self.ids, self.k
            ).items()
        }

    def _embeddings(self):
        if self.embed is not None:
            return self.embed(self.model, self.x)
        embeddings = self.model.predict(self.x, batch_size=self.batch_size, verbose=0)
        if not isinstance(embeddings, dict) or not isinstance(self.x, dict):
            return embeddings
        # Of a dict of inputs, what is named as they are: a model may also return independent features.
        return {name: rows for name, rows in embeddings.items() if name in self.x} or embeddings
