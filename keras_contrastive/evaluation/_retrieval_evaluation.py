"""Retrieval between modalities as a callback."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_contrastive._typing import Array, ArrayLike, Structure
from keras_contrastive.evaluation._callbacks import CorpusEvaluation
from keras_contrastive.evaluation._corpus_rows import (
    DistinctRows,
    checked_ids,
    ids_by_modality,
    present_rows,
)
from keras_contrastive.evaluation._inputs import checked_ranks, first_rows
from keras_contrastive.evaluation._retrieval import retrieval


class RetrievalEvaluation(CorpusEvaluation):
    """Searches a held-out corpus in epochs, from each modality to each other.

    It adds `val_image_to_text_recall_at_10`, `val_text_to_image_mrr`, ... to `logs`. See
    `retrieval`.

    The corpus of a modality consists of distinct rows: rows with the same id and equal inputs are
    one query and one candidate. So an image that is repeated for each of its captions counts once,
    as in the protocols of Flickr30k and COCO. Its captions differ. Each is a query, a candidate,
    and a positive of the image.

    A row that lacks a modality (see `present` of `ContrastiveTrainer`) is neither query nor
    candidate there. An item that lacks modality b is no query of the search in b.

    Args:
        x: Dict of arrays, as for `predict` of the model, which returns a dict of embeddings. It may
            contain the presence inputs of a `ContrastiveTrainer`.
        ids: Int array `(rows,)`. Rows with the same id belong to the same item. Defaults to the row
            numbers. For modalities with different numbers of rows, such as images and their
            captions, a dict of such arrays by modality.
        k: Positive integers, the ranks at which recall is reported.
        batch_size: See `CorpusEvaluation`.
        freq: See `CorpusEvaluation`.
        prefix: See `CorpusEvaluation`.
        embed: See `CorpusEvaluation`. It gets `x` and returns the dict of embeddings to search. By
            default, `predict` does.

    Raises:
        TypeError, ValueError: If an argument is invalid. Raises when `fit` starts if the embeddings
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

    higher_is_better = ("hit_rate_at_", "recall_at_", "mrr")
    lower_is_better = ("median_rank",)

    def __init__(
        self,
        x: Structure,
        ids: ArrayLike | Mapping[str, ArrayLike] | None = None,
        k: Iterable[int] = (1, 5, 10),
        batch_size: int = 256,
        freq: int = 1,
        prefix: str = "val_",
        embed: Callable[[keras.Model, Structure], dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(freq=freq, prefix=prefix, batch_size=batch_size, embed=embed)
        self.x = x
        self.ids = checked_ids(x, ids, takes_arrays=embed is None)
        self.k = checked_ranks(k)
        nans = np.full((1, 1), np.nan)
        self._names_of_a_search = list(retrieval(nans, nans, k=self.k))
        self._distinct = DistinctRows(x, warn=ids is None)

    def measures(self) -> dict[str, float]:
        embeddings = self._embeddings_by_modality(self.x)
        ids = ids_by_modality(self.ids, embeddings)
        present = getattr(self.model, "present", None) or {}
        rows = {
            name: self._distinct.of(
                name, ids[name], embeddings[name], present_rows(self.x, name, present)
            )
            for name in embeddings
        }
        return {
            f"{a}_to_{b}_{name}": value
            for a, b in itertools.permutations(embeddings, 2)
            for name, value in self._search(a, b, embeddings, ids, rows).items()
        }

    def dry_run(self) -> list[str]:
        if self.embed is not None:
            return super().dry_run()
        embeddings = self._embeddings_by_modality(first_rows(self.x, self.batch_size))
        return [
            f"{a}_to_{b}_{name}"
            for a, b in itertools.permutations(embeddings, 2)
            for name in self._names_of_a_search
        ]

    def is_main(self, name: str) -> bool:
        return name.endswith(f"_{self._names_of_a_search[0]}")

    def _search(
        self,
        a: str,
        b: str,
        embeddings: Mapping[str, ArrayLike],
        ids: Mapping[str, Array],
        rows: Mapping[str, Array],
    ) -> dict[str, float]:
        """Returns the measures of the search from modality `a` in modality `b`."""
        unknown = ids[a][~np.isin(ids[a], ids[b])]
        if unknown.size:
            raise ValueError(
                f"`ids` must have each id of the modality {a!r} in {b!r} too. "
                f"Received: id {unknown[0]} of {a!r}, which no row of {b!r} has."
            )
        queries = rows[a][np.isin(ids[a][rows[a]], ids[b][rows[b]])]
        if not queries.size:
            raise ValueError(
                f"`x` must have items with the modalities {a!r} and {b!r}. Received: none. "
                "Check the presence inputs."
            )
        vectors = embeddings[a][queries], embeddings[b][rows[b]]
        return retrieval(*vectors, ids[a][queries], ids[b][rows[b]], k=self.k)

    def _embeddings_by_modality(self, x: Structure) -> dict[str, Any]:
        embeddings = self._embed(x)
        if not isinstance(embeddings, dict) or len(embeddings) < 2:
            raise TypeError(
                "The embeddings must be a dict of at least two modalities. "
                f"Received: {type(embeddings).__name__}. "
                "Pass `embed` for a model that returns one tensor."
            )
        return embeddings

    def _embed(self, x: Structure) -> Structure:
        if self.embed is not None:
            return self.embeddings(x)
        if isinstance(self.ids, dict) and len({len(ids) for ids in self.ids.values()}) > 1:
            # `predict` takes equal numbers of rows only.
            return {name: self.embeddings(x[name], name) for name in self.ids}
        embeddings = self.model.predict(x, batch_size=self.batch_size, verbose=0)
        if not isinstance(embeddings, dict) or not isinstance(x, dict):
            return embeddings
        # A model may also return independent features. Only names of inputs are modalities.
        return {name: rows for name, rows in embeddings.items() if name in x} or embeddings
