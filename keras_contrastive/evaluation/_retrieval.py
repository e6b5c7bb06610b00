"""Retrieval: the rank of the nearest positive in a whole corpus."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive._engine import has_positive, nearest_positive, positive_ranks
from keras_contrastive._typing import Array, ArrayLike, Structure, Tensor
from keras_contrastive.evaluation._callbacks import CorpusEvaluation
from keras_contrastive.evaluation._inputs import check_same_dim, checked_ranks, unit_rows


def retrieval(
    queries: ArrayLike,
    candidates: ArrayLike,
    query_ids: ArrayLike | None = None,
    candidate_ids: ArrayLike | None = None,
    k: Iterable[int] = (1, 5, 10),
) -> dict[str, float]:
    """Ranks the nearest positive of each query among all candidates, by cosine.

    A candidate with the id of the query is a positive. The rank of the nearest positive is one more
    than the number of negatives that are at least as close, so ties count against it. A NaN
    embedding ranks last. Similarities are computed in tiles; see
    `keras_contrastive.config.set_tile_shape`.

    Args:
        queries: Float array `(num_queries, dim)`.
        candidates: Float array `(num_candidates, dim)`.
        query_ids: Int array `(num_queries,)`. Defaults to the row numbers.
        candidate_ids: Int array `(num_candidates,)`. Defaults to the row numbers.
        k: Positive integers, the ranks at which recall is reported.

    Returns:
        A dict of floats: `recall_at_{k}` in [0, 1], `median_rank` (1 is the best) and `mrr`, the
        mean of 1 / rank. Random embeddings have a recall of about `k / num_candidates`.

    Raises:
        TypeError: If ids are not integers, or `k` has the wrong type.
        ValueError: If shapes or ids do not match, or a query has no positive.

    Example:

    >>> results = retrieval(np.eye(3), np.eye(3)[[0, 2, 1]], k=(1, 2))
    >>> {name: round(value, 3) for name, value in results.items()}
    {'recall_at_1': 0.333, 'recall_at_2': 0.333, 'median_rank': 3.0, 'mrr': 0.556}
    """
    queries, query_ids = unit_rows(queries, query_ids, ("queries", "query_ids"))
    candidates, candidate_ids = unit_rows(
        candidates, candidate_ids, ("candidates", "candidate_ids")
    )
    check_same_dim(queries, candidates, ("queries", "candidates"))
    k = checked_ranks(k)
    ranks = ranks_of_positives(queries, candidates, query_ids, candidate_ids)
    results = {f"recall_at_{rank}": float(np.mean(ranks <= rank)) for rank in k}
    return results | {"median_rank": float(np.median(ranks)), "mrr": float(np.mean(1 / ranks))}


def ranks_of_positives(
    queries: Tensor, candidates: Tensor, query_ids: Tensor, candidate_ids: Tensor
) -> Array:
    """Returns the rank of the nearest positive of each query, 1 for the best. See `retrieval`."""
    corpus = queries, candidates, query_ids, candidate_ids
    nearest = nearest_positive(*corpus, python_loop=True)
    found = ops.convert_to_numpy(has_positive(nearest))
    if not found.all():
        raise ValueError(
            "`query_ids` must be ids of candidates. "
            f"Received: query {int(np.argmin(found))}, which has no candidate with its id. "
            "Use ids of the same data set for queries and candidates."
        )
    return 1 + ops.convert_to_numpy(positive_ranks(*corpus, nearest, python_loop=True))


class RetrievalEvaluation(CorpusEvaluation):
    """Searches a held-out corpus at the end of epochs, from each modality to each other.

    It adds `val_image_to_text_recall_at_10`, `val_text_to_image_mrr`, ... to `logs`. See
    `retrieval`.

    Args:
        x: Dict of arrays, as for `predict` of the model, which returns a dict of embeddings.
        ids: Int array `(rows,)`. Rows with the same id belong to the same item. Defaults to the row
            numbers.
        k: Positive integers, the ranks at which recall is reported.
        batch_size: See `CorpusEvaluation`.
        every: See `CorpusEvaluation`.
        prefix: See `CorpusEvaluation`.
        embed: See `CorpusEvaluation`. It gets `x` and returns the dict of embeddings to search. By
            default, `predict` does.

    Raises:
        TypeError, ValueError: If an argument is invalid. Raises when it evaluates if the embeddings
            are not a dict of at least two.

    Example:

    One encoder, and two sets of images that belong together:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> def embed(model, x):
    ...     return {name: model.predict(images, verbose=0) for name, images in x.items()}
    >>> x = {"drawing": np.eye(2), "photo": np.eye(2)}
    >>> evaluation = RetrievalEvaluation(x, k=(2,), embed=embed)
    >>> evaluation.set_model(model)
    >>> evaluation.evaluate()["val_drawing_to_photo_recall_at_2"]
    1.0
    """

    def __init__(
        self,
        x: Structure,
        ids: ArrayLike | None = None,
        k: Iterable[int] = (1, 5, 10),
        batch_size: int = 256,
        every: int = 1,
        prefix: str = "val_",
        embed: Callable[[keras.Model, Structure], dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(every=every, prefix=prefix, batch_size=batch_size, embed=embed)
        self.x = x
        self.ids = ids
        self.k = checked_ranks(k)

    def measures(self) -> dict[str, float]:
        embeddings = self._embeddings_by_modality()
        if not isinstance(embeddings, dict) or len(embeddings) < 2:
            raise TypeError(
                "The embeddings must be a dict of at least two modalities. "
                f"Received: {type(embeddings).__name__}. "
                "Pass `embed` for a model that returns one tensor."
            )
        return {
            f"{a}_to_{b}_{name}": value
            for a, b in itertools.permutations(embeddings, 2)
            for name, value in retrieval(
                embeddings[a], embeddings[b], self.ids, self.ids, self.k
            ).items()
        }

    def _embeddings_by_modality(self) -> Structure:
        if self.embed is not None:
            return self.embeddings(self.x)
        embeddings = self.model.predict(self.x, batch_size=self.batch_size, verbose=0)
        if not isinstance(embeddings, dict) or not isinstance(self.x, dict):
            return embeddings
        # A model may also return independent features. Only names of inputs are modalities.
        return {name: rows for name, rows in embeddings.items() if name in self.x} or embeddings
