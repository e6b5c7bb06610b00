"""Retrieval between modalities as a callback."""

import itertools
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_contrastive._typing import Array, ArrayLike, Structure
from keras_contrastive.evaluation._callbacks import CorpusEvaluation
from keras_contrastive.evaluation._corpus import Corpus, Embed
from keras_contrastive.evaluation._distinct_rows import Side, joined
from keras_contrastive.evaluation._inputs import checked_ranks, first_rows, rows_of
from keras_contrastive.evaluation._retrieval import DEFAULT_METRICS, checked_metrics, retrieval

# Queries, corpus, and their ids.
_Search: TypeAlias = tuple[ArrayLike, ArrayLike, Array, Array]


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
        x: The queries, which are also searched: a dict of arrays as for `predict` of the model,
            which returns a dict of embeddings. It may contain the presence inputs of a
            `ContrastiveTrainer`. Or a data set as for `fit`, such as a `tf.data.Dataset`,
            `PyDataset` or `DataLoader`, with batches `x` or `(x, ids)`. Or a dict of data sets by
            modality, each with batches `(inputs, ids)`.
        ids: Int array `(rows,)`. Rows with the same id belong to the same item. Defaults to the row
            numbers. For modalities with different numbers of rows, such as images and their
            captions, a dict of such arrays by modality. `None` for a data set.
        corpus: `None`, or further inputs that are searched as well and are no queries, in one of
            the forms of `x`. One modality is enough. Rows that are in `x` too count once.
        corpus_ids: The ids of the rows of `corpus`, in the form of `ids`. Rows that belong to no
            query have other ids than those of `x`.
        k: See `retrieval`.
        metrics: See `retrieval`. The progress bar shows the first.
        batch_size: See `CorpusEvaluation`. A data set has its own.
        freq: See `CorpusEvaluation`.
        prefix: See `CorpusEvaluation`.
        embed: See `CorpusEvaluation`. It gets `x` (one batch of a data set, or `{name: inputs}` if
            there is one for each modality) and returns the dict of embeddings to search. By
            default, the embedders of a `ContrastiveTrainer` do, or `predict` of another model.

    Raises:
        TypeError, ValueError: If an argument is invalid. Raises when `fit` starts if the embeddings
            are not a dict of at least two, or if the ids of a modality are not in another.

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

    higher_is_better = ("hit_rate", "recall", "precision", "mrr", "map", "ndcg")
    lower_is_better = ("mean_rank", "median_rank")

    def __init__(
        self,
        x: Structure,
        ids: ArrayLike | Mapping[str, ArrayLike] | None = None,
        corpus: Structure | None = None,
        corpus_ids: ArrayLike | Mapping[str, ArrayLike] | None = None,
        k: Iterable[int] = (1, 5, 10),
        metrics: Iterable[str] = DEFAULT_METRICS,
        batch_size: int = 256,
        freq: int = 1,
        prefix: str = "val_",
        embed: Callable[[keras.Model, Structure], dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(freq=freq, prefix=prefix, batch_size=batch_size, embed=embed)
        self.queries = Corpus(x, ids, takes_arrays=embed is None)
        self.corpus = None
        if corpus is not None:
            names = "corpus", "corpus_ids"
            self.corpus = Corpus(corpus, corpus_ids, embed is None, names, fewest=1)
        elif corpus_ids is not None:
            raise ValueError(
                "`corpus_ids` must be `None` without `corpus`. Received: ids. Pass both or neither."
            )
        if corpus_ids is None and self.corpus is not None and not self.corpus.is_data_set:
            raise ValueError(
                "`corpus_ids` must be the ids of the rows of `corpus`. Received: None. "
                "Use ids that are not in `ids` for rows that belong to no query."
            )
        self.k = checked_ranks(k)
        self.metrics = checked_metrics(metrics)
        nans = np.full((1, 1), np.nan)
        self._names_of_a_search = list(retrieval(nans, nans, k=self.k, metrics=self.metrics))
        self._warns = ids is None and not self.queries.is_data_set

    def measures(self) -> dict[str, float]:
        return {
            f"{a}_to_{b}_{name}": value
            for (a, b), rows in self._searches(self._embed).items()
            for name, value in retrieval(*rows, k=self.k, metrics=self.metrics).items()
        }

    def dry_run(self) -> list[str]:
        corpora = [self.queries] if self.corpus is None else [self.queries, self.corpus]
        if self.embed is not None or any(corpus.is_data_set for corpus in corpora):
            return super().dry_run()
        modalities = [self._embed(first_rows(x.x, self.batch_size), None) for x in corpora]

        def sizes(x: Structure, modality: str | None) -> dict[str, Array]:
            names = modalities[0 if x is self.queries.x else -1]
            return {name: np.zeros((rows_of(x[name], name), 0)) for name in names if name in x}

        return [
            f"{a}_to_{b}_{name}"
            for a, b in self._searches(sizes)
            for name in self._names_of_a_search
        ]

    def is_main(self, name: str) -> bool:
        return name.endswith(f"_{self._names_of_a_search[0]}")

    def _searches(self, embed: Embed) -> dict[tuple[str, str], _Search]:
        """Returns the arguments of `retrieval`, by modalities of the queries and of the corpus."""
        present = getattr(self.model, "present", None) or {}
        queries = self.queries.sides(embed, present)
        if len(queries) < 2:
            raise TypeError(
                "The embeddings must be a dict of at least two modalities. "
                f"Received: {', '.join(map(repr, queries))}."
            )
        self._warn_of_repeated_inputs(queries)
        further = {} if self.corpus is None else self.corpus.sides(embed, present)
        unknown = [name for name in further if name not in queries]
        if unknown:
            raise ValueError(
                f"`corpus` must have modalities of `x`: {', '.join(map(repr, queries))}. "
                f"Received: {', '.join(map(repr, unknown))}."
            )
        sides = {
            name: joined([side, further[name]] if name in further else [side])
            for name, side in queries.items()
        }
        rows = {name: side.distinct_rows() for name, side in sides.items()}
        found = {}
        for a, b in itertools.permutations(queries, 2):
            _check_known_ids(queries[a].ids, sides[b].ids, a, b)
            candidates = rows[b]
            chosen = rows[a][rows[a] < len(queries[a].ids)]
            chosen = chosen[np.isin(sides[a].ids[chosen], sides[b].ids[candidates])]
            if not chosen.size:
                raise ValueError(
                    f"`x` must have items with the modalities {a!r} and {b!r}. Received: none. "
                    "Check the presence inputs."
                )
            found[a, b] = (
                sides[a].embeddings[chosen],
                sides[b].embeddings[candidates],
                sides[a].ids[chosen],
                sides[b].ids[candidates],
            )
        return found

    def _embed(self, x: Structure, modality: str | None) -> Mapping[str, ArrayLike]:
        if self.embed is not None:
            embeddings = self.embeddings(x if modality is None else {modality: x})
        elif modality is not None:
            return {modality: self.embeddings(x, modality)}
        elif getattr(self.model, "has_towers", False) and isinstance(x, Mapping):
            names = [name for name in x if name not in self.model.extra_inputs]
            return {name: self.embeddings(x[name], name) for name in names}
        else:
            embeddings = self.model.predict(x, batch_size=self.batch_size, verbose=0)
        if not isinstance(embeddings, dict):
            raise TypeError(
                "The embeddings must be a dict of at least two modalities. "
                f"Received: {type(embeddings).__name__}. "
                "Pass `embed` for a model that returns one tensor."
            )
        if self.embed is not None or not isinstance(x, Mapping):
            return embeddings
        # A model may also return other features. Only names of inputs are modalities.
        return {name: rows for name, rows in embeddings.items() if name in x} or embeddings

    def _warn_of_repeated_inputs(self, sides: Mapping[str, Side]) -> None:
        for name, side in sides.items() if self._warns else ():
            count = side.num_repeated_inputs()
            if count:
                self._warns = False
                warnings.warn(
                    f"`x[{name!r}]` has {count} rows that repeat other rows, and without `ids`, "
                    "each row is an item of its own. Pass `ids` that are equal for rows of one "
                    "item, such as an image and its captions.",
                    stacklevel=2,
                )


def _check_known_ids(ids: Array, others: Array, a: str, b: str) -> None:
    unknown = ids[~np.isin(ids, others)]
    if unknown.size:
        raise ValueError(
            f"`ids` must have each id of the modality {a!r} in {b!r} too. "
            f"Received: id {unknown[0]} of {a!r}, which no row of {b!r} has."
        )
