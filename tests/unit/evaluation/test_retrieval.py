import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.evaluation import RetrievalEvaluation, retrieval
from keras_contrastive.losses import InfoNCE
from tests.helpers import towers
from tests.reference import recall as reference


def corpus(rng, num_queries, num_candidates, dim=5, noise=0.8):
    """Candidates, and queries that resemble the candidate of the same row (several may share one)."""
    candidates = rng.normal(size=(num_candidates, dim))
    cause = candidates[np.arange(num_queries) % num_candidates]
    return (cause + noise * rng.normal(size=cause.shape)).astype("float32"), candidates.astype(
        "float32"
    )


@pytest.mark.parametrize(("rows", "tile"), [(1, 1), (2, 1), (9, 4), (12, 4), (30, 1024)])
def test_without_ids_the_rows_belong_together(rng, rows, tile):
    queries, candidates = corpus(rng, rows, rows)
    results = retrieval(queries, candidates, k=(1, 3, 50), tile=tile)
    assert results == pytest.approx(
        reference.retrieval(queries, candidates, range(rows), range(rows), (1, 3, 50))
    )


@pytest.mark.parametrize(("num_queries", "num_candidates"), [(7, 20), (20, 7)])
@pytest.mark.parametrize("tile", [5, 1024])
def test_the_nearest_of_several_positives_counts(rng, num_queries, num_candidates, tile):
    queries, candidates = corpus(rng, num_queries, num_candidates)
    candidate_ids = np.arange(num_candidates) % 5
    query_ids = (np.arange(num_queries) % num_candidates) % 5
    results = retrieval(queries, candidates, query_ids, candidate_ids, (1, 2, 5), tile=tile)
    assert results == pytest.approx(
        reference.retrieval(queries, candidates, query_ids, candidate_ids, (1, 2, 5))
    )


def test_large_ids_stay_apart(rng):
    queries, candidates = corpus(rng, 4, 4)
    ids = np.array([2**24, 2**24 + 1, 2**31 - 2, 2**31 - 1])
    assert retrieval(queries, candidates, ids, ids) == retrieval(queries, candidates)


def test_a_corpus_that_matches_is_found():
    assert retrieval(np.eye(3), 7.0 * np.eye(3), k=(1,)) == {
        "recall_at_1": 1.0,
        "median_rank": 1.0,
        "mrr": 1.0,
    }


def test_where_all_embeddings_coincide_each_positive_stands_last():
    results = retrieval(np.ones((10, 3)), np.ones((10, 3)), k=(1, 9, 10))
    expected = {
        "recall_at_1": 0,
        "recall_at_9": 0,
        "recall_at_10": 1,
        "median_rank": 10,
        "mrr": 0.1,
    }
    assert results == pytest.approx(expected)


@pytest.mark.parametrize("tile", [2, 1024])
def test_embeddings_that_are_not_numbers_stand_last(rng, tile):
    nothing = np.full((5, 3), np.nan)
    assert retrieval(nothing, rng.normal(size=(5, 3)), k=(), tile=tile) == pytest.approx(
        {"median_rank": 5, "mrr": 0.2}
    )
    assert retrieval(rng.normal(size=(5, 3)), nothing, k=(), tile=tile) == pytest.approx(
        {"median_rank": 5, "mrr": 0.2}
    )


def test_the_numbers_are_plain_floats(rng):
    results = retrieval(*corpus(rng, 4, 4))
    assert list(results) == ["recall_at_1", "recall_at_5", "recall_at_10", "median_rank", "mrr"]
    assert {type(value) for value in results.values()} == {float}


@pytest.mark.parametrize("tile", [2, 1024])
def test_a_query_without_a_positive_is_named(rng, tile):
    with pytest.raises(ValueError, match="Query 3 has no candidate with its id"):
        retrieval(
            rng.normal(size=(5, 2)), rng.normal(size=(3, 2)), [0, 1, 2, 9, 8], [0, 1, 2], tile=tile
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((3, 2)), np.ones((3, 4))), r"same last dimension.*\(3, 2\).*\(3, 4\)"),
        ((np.ones(3), np.ones((3, 4))), r"`queries` must have the shape `\(rows, dim\)`"),
        (
            (np.ones((3, 4)), np.ones((3, 4, 1))),
            r"`candidates` must have the shape `\(rows, dim\)`",
        ),
        ((np.ones((0, 4)), np.ones((3, 4))), "at least one row"),
        (
            (np.ones((3, 4)), np.ones((3, 4)), [0, 1]),
            r"Ids of the queries must be integers.*shape \(2,\)",
        ),
        (
            (np.ones((3, 4)), np.ones((3, 4)), [0, 1, 2], [[0], [1], [2]]),
            "Ids of the candidates must be integers",
        ),
        ((np.ones((3, 4)), np.ones((3, 4)), [0.0, 1.0, 2.0]), "must be integers.*dtype float64"),
        (
            (np.ones((2, 4)), np.ones((2, 4)), [0, 2**32]),
            r"must be in \[0, 2\*\*31\).*to 4294967296",
        ),
        (
            (np.ones((2, 4)), np.ones((2, 4)), [0, 1], [-1, 0]),
            r"must be in \[0, 2\*\*31\).*from -1",
        ),
    ],
)
def test_arguments_that_do_not_belong_together_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        retrieval(*arguments)


def two_towers():
    model = ContrastiveTrainer({"image": towers.tower(6), "text": towers.tower(5)})
    model.compile("adam", InfoNCE())
    return model


def test_fit_reports_both_directions_of_the_model_as_it_is():
    model, train, held_out = two_towers(), towers.pairs(16), towers.pairs(9, seed=1)
    evaluation = RetrievalEvaluation(held_out, k=(1, 3))
    history = model.fit(train, epochs=2, batch_size=8, callbacks=[evaluation], verbose=0).history
    embeddings = {name: np.asarray(z) for name, z in model.predict(held_out, verbose=0).items()}
    for a, b in (("image", "text"), ("text", "image")):
        expected = reference.retrieval(embeddings[a], embeddings[b], range(9), range(9), (1, 3))
        for name, value in expected.items():
            series = history[f"val_{a}_to_{b}_{name}"]
            assert len(series) == 2
            assert series[-1] == pytest.approx(value)
    assert sum(name.startswith("val_") for name in history) == 8


def test_later_callbacks_see_the_numbers():
    model, data = two_towers(), towers.pairs(8)
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    model.fit(data, callbacks=[RetrievalEvaluation(data), watch], verbose=0)
    assert "val_text_to_image_mrr" in seen[0]


def test_ids_decide_what_belongs_together():
    model, data = two_towers(), towers.pairs(8)
    evaluation = RetrievalEvaluation(data, ids=np.zeros(8, int), k=(1,))
    evaluation.set_model(model)
    assert evaluation.evaluate()["val_image_to_text_recall_at_1"] == 1.0


def test_every_chooses_the_epochs():
    model, data = two_towers(), towers.pairs(8)
    evaluation = RetrievalEvaluation(data, every=2)
    epochs = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: epochs.append("val_image_to_text_mrr" in logs)
    )
    model.fit(data, epochs=5, callbacks=[evaluation, watch], verbose=0)
    assert epochs == [False, True, False, True, False]


def test_prefix_begins_each_name():
    model, data = two_towers(), towers.pairs(8)
    evaluation = RetrievalEvaluation(data, k=(2,), prefix="unseen/")
    evaluation.set_model(model)
    assert sorted(evaluation.evaluate()) == sorted(
        f"unseen/{a}_to_{b}_{name}"
        for a, b in (("image", "text"), ("text", "image"))
        for name in ("recall_at_2", "median_rank", "mrr")
    )


def test_embed_serves_a_model_with_one_encoder(rng):
    encoder = towers.tower(6)
    model = ContrastiveTrainer(encoder, augmenters=keras.layers.GaussianNoise(0.1))
    model.compile("adam", InfoNCE())
    x = {
        "drawing": rng.normal(size=(7, 6)).astype("float32"),
        "photo": rng.normal(size=(7, 6)).astype("float32"),
    }
    evaluation = RetrievalEvaluation(
        x,
        k=(2,),
        embed=lambda model, x: {name: model.predict(part, verbose=0) for name, part in x.items()},
    )
    history = model.fit(x["drawing"], callbacks=[evaluation], verbose=0).history
    a, b = (np.asarray(encoder.predict(x[name], verbose=0)) for name in ("drawing", "photo"))
    expected = reference.retrieval(a, b, range(7), range(7), (2,))
    assert history["val_drawing_to_photo_mrr"] == [pytest.approx(expected["mrr"])]
    assert history["val_drawing_to_photo_recall_at_2"] == [pytest.approx(expected["recall_at_2"])]


def test_a_single_tensor_is_refused_with_the_way_out(rng):
    model = ContrastiveTrainer(towers.tower(6), augmenters=keras.layers.Identity())
    model.compile("adam", InfoNCE())
    x = rng.normal(size=(4, 6)).astype("float32")
    with pytest.raises(TypeError, match=r"dict of embeddings by modality.*Pass `embed`"):
        model.fit(x, callbacks=[RetrievalEvaluation(x)], verbose=0)


@pytest.mark.parametrize("every", [0, -1])
def test_every_must_be_positive(every):
    with pytest.raises(ValueError, match="`every` must be a positive number of epochs"):
        RetrievalEvaluation({}, every=every)
