"""Evaluations of other numbers of rows compile nothing again."""

import numpy as np

from keras_contrastive.evaluation import (
    knn_probe,
    mine_hard_negatives,
    retrieval,
    search,
    zero_shot,
)
from tests.helpers.backend import programs_compiled

DIM = 29  # of no other test


def evaluate(queries, rows, k, neighbors):
    rng = np.random.default_rng(0)
    x, corpus = (rng.normal(size=(size, DIM)).astype("float32") for size in (queries, rows))
    ids, corpus_ids = np.arange(queries) % 4, np.arange(rows) % 5
    retrieval(x, corpus, ids, corpus_ids, k=(1, k), metrics=["map", "ndcg_at_k", "recall_at_k"])
    retrieval(x, query_ids=ids)
    search(x, corpus, k)
    knn_probe(corpus, corpus_ids, x, ids, neighbors, shots=2, draws=2)
    zero_shot(x, ids, corpus[:5])
    mine_hard_negatives(x, corpus, ids, corpus_ids, k, skip=0, relative_margin=0.0)


def test_second_evaluation_compiles_nothing():
    assert programs_compiled(lambda: evaluate(40, 50, 3, 7)) > 0
    assert programs_compiled(lambda: evaluate(33, 71, 2, 9)) == 0
    assert programs_compiled(lambda: evaluate(1500, 800, 4, 20)) == 0
