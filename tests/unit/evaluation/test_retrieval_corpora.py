"""Retrieval in data sets, and in corpora that are larger than the queries."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.evaluation import RetrievalEvaluation, retrieval
from keras_contrastive.losses import InfoNCE
from tests.helpers import towers

ITEMS, CAPTIONS = 8, 3
IDS = np.repeat(np.arange(ITEMS), CAPTIONS)
K = (1, 3)


def identity(model, x):
    return x


@pytest.fixture
def rows(rng):
    """Images and their captions, as embeddings."""
    cause = rng.normal(size=(ITEMS, 5))
    texts = cause[IDS] + 1.5 * rng.normal(size=(len(IDS), 5))
    return (cause + rng.normal(size=cause.shape)).astype("float32"), texts.astype("float32")


class Batches(keras.utils.PyDataset):
    """Batches of seven rows."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    @property
    def num_batches(self):
        return -(-len(keras.tree.flatten(self.arrays)[0]) // 7)

    def __getitem__(self, index):
        return keras.tree.map_structure(lambda a: a[7 * index : 7 * index + 7], self.arrays)


def tf_data(*arrays):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(arrays).batch(7)


def loader(*arrays):
    torch = pytest.importorskip("torch")

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return len(keras.tree.flatten(arrays)[0])

        def __getitem__(self, row):
            return keras.tree.map_structure(lambda array: array[row], arrays)

    return torch.utils.data.DataLoader(Rows(), 7)


KINDS = {"PyDataset": Batches, "tf.data": tf_data, "DataLoader": loader}


def measures(*args, model=None, **kwargs):
    evaluation = RetrievalEvaluation(*args, k=K, prefix="", **kwargs)
    evaluation.set_model(model)
    found = evaluation.evaluate()
    assert evaluation.dry_run() == list(found)
    return {name: pytest.approx(value, rel=1e-5) for name, value in found.items()}


def search(direction, queries, corpus, query_ids, corpus_ids):
    found = retrieval(queries, corpus, query_ids, corpus_ids, k=K)
    return {f"{direction}_{name}": value for name, value in found.items()}


def protocol(images, texts, image_ids=None, text_ids=IDS):
    numbers = np.arange(len(images)) if image_ids is None else image_ids
    return search("image_to_text", images, texts, numbers, text_ids) | search(
        "text_to_image", texts, images, text_ids, numbers
    )


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_data_set_of_pairs_with_repeated_images(rows, kind):
    images, texts = rows
    data = kind({"image": images[IDS], "text": texts}, IDS)
    assert measures(data, embed=identity) == protocol(*rows)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_data_sets_of_images_and_of_captions(rows, kind):
    images, texts = rows
    data = {"image": kind(images, np.arange(ITEMS)), "text": kind(texts, IDS[:, None])}
    assert measures(data, embed=identity) == protocol(*rows)


def test_different_inputs_with_equal_embeddings_are_different_rows(rows):
    images, texts = rows

    def embed(model, x):
        return {name: np.round(inputs / 3) + 0.1 for name, inputs in x.items()}

    ids = {"image": np.arange(ITEMS), "text": IDS}
    expected = protocol(*embed(None, {"image": images, "text": texts}).values())
    assert measures({"image": images, "text": texts}, ids, embed=embed) == expected
    data = Batches({"image": images[IDS], "text": texts}, IDS)
    assert measures(data, embed=embed) == expected


def test_rows_of_a_data_set_without_ids_are_items(rows):
    images, texts = rows[0], rows[1][::CAPTIONS]
    data = Batches({"image": images, "text": texts})
    assert measures(data, embed=identity) == protocol(images, texts, text_ids=np.arange(ITEMS))


def test_trainer_embeds_data_sets():
    model, x = ContrastiveTrainer(towers.towers()), towers.pairs(ITEMS)
    expected = measures(x, model=model)
    assert measures(Batches(x), model=model) == expected
    apart = {name: Batches(inputs, np.arange(ITEMS)) for name, inputs in x.items()}
    assert measures(apart, model=model) == expected


def test_rows_of_a_data_set_that_lack_a_modality_are_left_out():
    model = ContrastiveTrainer(towers.towers(), present={"has_text": "text"})
    x = towers.pairs(ITEMS) | {"has_text": np.arange(ITEMS) % 3 != 1}
    assert measures(Batches(x), model=model) == measures(x, model=model)


def test_corpus_adds_rows_that_are_no_queries(rows, rng):
    images, texts = rows
    others, their_ids = rng.normal(size=(9, 5)).astype("float32"), 100 + np.arange(9)
    expected = search("image_to_text", images, texts, np.arange(ITEMS), IDS) | search(
        "text_to_image",
        texts,
        np.concatenate([images, others]),
        IDS,
        np.concatenate([np.arange(ITEMS), their_ids]),
    )
    ids = {"image": np.arange(ITEMS), "text": IDS}
    x = {"image": images, "text": texts}
    corpus = {"image": others}
    assert measures(x, ids, corpus, {"image": their_ids}, embed=identity) == expected
    assert measures(x, ids, corpus, their_ids, embed=identity) == expected
    data = {"image": Batches(others, their_ids)}
    assert measures(x, ids, data, embed=identity) == expected


def test_rows_of_x_in_the_corpus_count_once(rows, rng):
    images, texts = rows
    more = rng.normal(size=(5, 5)).astype("float32")
    everything = {
        "image": np.concatenate([more, images]),
        "text": np.concatenate([more, texts[::CAPTIONS]]),
    }
    numbers = np.concatenate([100 + np.arange(5), np.arange(ITEMS)])
    x = {"image": images, "text": texts[::CAPTIONS]}
    ids = np.arange(ITEMS)
    expected = search("image_to_text", images, everything["text"], ids, numbers) | search(
        "text_to_image", x["text"], everything["image"], ids, numbers
    )
    assert measures(x, ids, everything, numbers, embed=identity) == expected
    assert measures(Batches(x, ids), None, Batches(everything, numbers), embed=identity) == expected


def test_corpus_has_the_captions_of_queries(rows):
    images, texts = rows
    x = {"image": images, "text": texts[::CAPTIONS]}
    found = measures(x, np.arange(ITEMS), {"text": texts}, IDS, embed=identity)
    expected = search("image_to_text", images, texts, np.arange(ITEMS), IDS)
    assert {name: found[name] for name in expected} == expected


def test_trainer_embeds_a_corpus_of_one_modality(rng):
    model, x = ContrastiveTrainer(towers.towers()), towers.pairs(ITEMS)
    corpus = {"image": rng.normal(size=(5, 6)).astype("float32")}
    images = [
        model.predict(x, verbose=0)["image"],
        model.encoders["image"].predict(corpus["image"]),
    ]
    texts = model.predict(x, verbose=0)["text"]
    numbers = np.arange(ITEMS + 5)
    expected = search("text_to_image", texts, np.concatenate(images), numbers[:ITEMS], numbers)
    found = measures(x, corpus=corpus, corpus_ids=numbers[ITEMS:], model=model)
    assert {name: found[name] for name in expected} == expected


X = towers.pairs(ITEMS)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"corpus": X}, ValueError, "`corpus_ids` must be the ids of the rows of `corpus`"),
        (
            {"corpus": X["image"], "corpus_ids": IDS},
            TypeError,
            "`corpus` must be a dict of at least one modality.*`ndarray`",
        ),
        (
            {"corpus": X, "corpus_ids": np.arange(3)},
            ValueError,
            r"`corpus_ids` must have the shape \(8,\), one integer for each row of `corpus`",
        ),
        (
            {"corpus": {**X, "text": X["text"][1:]}, "corpus_ids": np.arange(8)},
            ValueError,
            "`corpus` must have the same number of rows .*pass `corpus_ids` by modality",
        ),
        (
            {"corpus": Batches(X), "corpus_ids": np.arange(8)},
            ValueError,
            "`corpus_ids` must be `None` if `corpus` is a data set",
        ),
        (
            {"corpus": X, "corpus_ids": {"audio": np.arange(8)}},
            ValueError,
            "`corpus_ids` must be an array, or .*'audio', while `corpus` has 'image', 'text'",
        ),
        ({"corpus_ids": IDS}, ValueError, "`corpus_ids` must be `None` without `corpus`"),
    ],
)
def test_invalid_corpora_raise_in_the_constructor(arguments, error, message):
    with pytest.raises(error, match=message):
        RetrievalEvaluation(X, **arguments)


@pytest.mark.parametrize(
    ("x", "arguments", "error", "message"),
    [
        (
            X,
            {"ids": {"image": np.arange(ITEMS), "text": 1 + np.arange(ITEMS)}},
            ValueError,
            "each id of the modality 'image' in 'text' too. Received: id 0",
        ),
        (X, {"corpus": {"audio": X["text"]}, "corpus_ids": IDS[:8]}, ValueError, "audio"),
        (
            {name: Batches(inputs) for name, inputs in X.items()},
            {},
            ValueError,
            r"`x\['image'\]` must be a data set with batches `\(x, ids\)`",
        ),
        (Batches(X, np.arange(ITEMS) / 2), {}, TypeError, "`ids of x` must be integers"),
        (Batches(X, np.arange(5)), {}, ValueError, "`ids` must have one id for each embedding"),
        (Batches(X["image"]), {}, Exception, "."),
    ],
)
def test_invalid_corpora_raise_before_training(x, arguments, error, message):
    model = ContrastiveTrainer(towers.towers())
    model.compile("sgd", InfoNCE(), run_eagerly=True)
    batches = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: batches.append(batch)
    )
    with pytest.raises(error, match=message):
        model.fit(X, callbacks=[RetrievalEvaluation(x, **arguments), watch], verbose=0)
    assert batches == []
