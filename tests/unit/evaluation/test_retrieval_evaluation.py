"""Corpora of several modalities: captions of images, missing rows, ids and errors."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.evaluation import RetrievalEvaluation, retrieval
from keras_contrastive.losses import InfoNCE
from tests.helpers import towers
from tests.reference import retrieval as reference

IMAGES, CAPTIONS = 12, 4
IDS = np.repeat(np.arange(IMAGES), CAPTIONS)


def identity(model, x):
    return x


@pytest.fixture
def captions(rng):
    """Images, and several captions of each."""
    cause = rng.normal(size=(IMAGES, 5))
    images = cause + 0.8 * rng.normal(size=cause.shape)
    texts = cause[IDS] + 2.0 * rng.normal(size=(len(IDS), 5))
    return images.astype("float32"), texts.astype("float32")


def protocol(images, texts, ids=IDS):
    """The measures of Flickr30k and COCO: each image is one query and one candidate."""
    numbers = np.arange(len(images))
    searches = {
        "image_to_text": (images, texts, numbers, ids),
        "text_to_image": (texts, images, ids, numbers),
    }
    return {
        f"val_{direction}_{name}": pytest.approx(value)
        for direction, rows in searches.items()
        for name, value in reference.retrieval(*rows, (1, 3)).items()
    }


REPEATED = {
    "inputs": lambda images, texts: ({"image": images[IDS], "text": texts}, IDS, identity),
    "dicts of inputs": lambda images, texts: (
        {"image": {"pixels": images[IDS]}, "text": [texts, texts]},
        IDS,
        lambda model, x: {"image": x["image"]["pixels"], "text": x["text"][0]},
    ),
    "names": lambda images, texts: (
        {"image": np.array([f"{i}.png" for i in IDS]), "text": texts},
        IDS,
        lambda model, x: {**x, "image": images[[int(name[:-4]) for name in x["image"]]]},
    ),
    "embeddings only": lambda images, texts: (
        None,
        IDS,
        lambda model, x: {"image": images[IDS] + 1e-7, "text": texts},
    ),
    "ids by modality": lambda images, texts: (
        {"image": images, "text": texts},
        {"image": np.arange(IMAGES), "text": IDS},
        identity,
    ),
    "ids by modality of repeated images": lambda images, texts: (
        {"image": images[IDS], "text": texts},
        {"image": IDS.tolist(), "text": IDS.astype("uint8")},
        identity,
    ),
}


@pytest.mark.parametrize("case", REPEATED.values(), ids=REPEATED)
def test_a_repeated_image_counts_once(captions, case):
    x, ids, embed = case(*captions)
    search = RetrievalEvaluation(x, ids, k=(1, 3), embed=embed)
    assert search.evaluate() == protocol(*captions)
    assert search.evaluate() == protocol(*captions)  # with the rows that it has compared before


def test_equal_captions_of_one_image_count_once_and_of_two_images_twice():
    images = np.eye(3)
    texts = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]])  # the third is of image 1
    x = {"image": images[[0, 0, 1, 2]], "text": texts}
    found = RetrievalEvaluation(x, [0, 0, 1, 2], k=(1, 3), embed=identity).evaluate()
    assert found["val_text_to_image_recall_at_1"] == pytest.approx(2 / 3)
    assert found["val_image_to_text_recall_at_3"] == 1.0


@pytest.mark.parametrize("by_modality", [False, True])
def test_trainer_embeds_captions(captions, by_modality, rng):
    images, texts = rng.normal(size=(IMAGES, 6)), rng.normal(size=(len(IDS), 5))
    model = ContrastiveTrainer(towers.towers())
    x, ids = {"image": images[IDS], "text": texts}, IDS
    if by_modality:
        x, ids = {"image": images, "text": texts}, {"image": np.arange(IMAGES), "text": IDS}
    search = RetrievalEvaluation(x, ids, k=(1, 3))
    search.set_model(model)
    embeddings = model.predict({"image": images[IDS], "text": texts}, verbose=0)
    assert search.evaluate() == protocol(embeddings["image"][::CAPTIONS], embeddings["text"])


def with_presence(encoders):
    return ContrastiveTrainer(
        encoders, present={"has_text": "text", "has_caption": "text", "has_image": "image"}
    )


@pytest.mark.parametrize("shape", [(8,), (8, 1)])
@pytest.mark.parametrize("dtype", ["bool", "int32", "float32"])
def test_rows_that_lack_a_modality_are_neither_queries_nor_candidates(shape, dtype):
    model, data = with_presence(towers.towers()), towers.pairs(8)
    image, text = model.predict(data, verbose=0).values()
    has_image, has_text = np.arange(8) != 2, ~np.isin(np.arange(8), [1, 5])
    data["text"][[1, 5]], data["image"][2] = np.nan, np.nan
    presence = {
        "has_image": has_image,
        "has_text": np.arange(8) != 1,
        "has_caption": np.arange(8) != 5,
    }
    presence = {name: values.reshape(shape).astype(dtype) for name, values in presence.items()}
    search = RetrievalEvaluation(data | presence, k=(1, 3))
    search.set_model(model)
    both, numbers = has_image & has_text, np.arange(8)
    images_to_texts = image[both], text[has_text], numbers[both], numbers[has_text]
    texts_to_images = text[both], image[has_image], numbers[both], numbers[has_image]
    assert search.evaluate() == {
        f"val_{direction}_{name}": pytest.approx(value)
        for direction, rows in (
            ("image_to_text", images_to_texts),
            ("text_to_image", texts_to_images),
        )
        for name, value in retrieval(*rows, k=(1, 3)).items()
    }


@pytest.mark.parametrize(
    ("presence", "message"),
    [
        (np.zeros(8, bool), "must have items with the modalities 'image' and 'text'"),
        (np.ones((8, 2), bool), r"`x\['has_text'\]` must be bools .* Received: shape \(8, 2\)"),
        (np.array(["yes"] * 8), r"`x\['has_text'\]` must be bools"),
        (np.full(8, np.nan), r"`x\['has_text'\]` must be bools"),
    ],
)
def test_invalid_presence_raises(presence, message):
    search = RetrievalEvaluation(
        {**towers.pairs(8), "has_text": presence}, embed=lambda model, x: towers.pairs(8)
    )
    search.set_model(with_presence(towers.towers()))
    with pytest.raises(ValueError, match=message):
        search.evaluate()


def test_repeated_inputs_without_ids_are_told_once(captions, recwarn):
    images, texts = captions
    search = RetrievalEvaluation({"image": images[IDS], "text": texts}, embed=identity)
    with pytest.warns(UserWarning, match=r"`x\['image'\]` has 36 rows that repeat .* Pass `ids`"):
        search.evaluate()
    recwarn.clear()
    search.evaluate()
    assert not [w for w in recwarn.list if "repeat" in str(w.message)]


def test_callback_uses_ids():
    data = towers.pairs(8)
    evaluation = RetrievalEvaluation(data, ids=np.zeros(8, int), k=(1,))
    evaluation.set_model(ContrastiveTrainer(towers.towers()))
    assert evaluation.evaluate()["val_image_to_text_hit_rate_at_1"] == 1.0


X = towers.pairs(8)


class DataSet(keras.utils.PyDataset):
    """A data set that is no array."""

    num_batches = 1


@pytest.mark.parametrize(
    ("x", "ids", "error", "message"),
    [
        (X["image"], None, TypeError, "`x` must be a dict of at least two .*`ndarray`.*`embed`"),
        (DataSet(), np.arange(8), ValueError, "`ids` must be `None` if `x` is a data set"),
        (object(), None, TypeError, "`x` must be a dict of at least two .*`object`"),
        ({"image": X["image"]}, None, TypeError, "at least two modalities.*Received: a dict of 1"),
        (
            {**X, "text": DataSet()},
            None,
            TypeError,
            "data sets for all modalities.*arrays for 'image'",
        ),
        ({**X, "text": "a cat"}, None, TypeError, r"`x\['text'\]` must be an array.*`str`"),
        ({**X, "text": np.ones((0, 5))}, None, ValueError, r"`x\['text'\]` must hold .*: 0"),
        (
            {**X, "text": X["text"][:5]},
            None,
            ValueError,
            "same number of rows for all .*image 8, text 5.*captions.*`ids` by modality",
        ),
        ({**X, "text": X["text"][:5]}, np.arange(8), ValueError, "same number of rows for all"),
        (X, np.arange(5), ValueError, r"`ids` must have the shape \(8,\)"),
        (X, np.arange(8) / 2, TypeError, "`ids` must be integers"),
        (X, list("abcdefgh"), TypeError, "`ids` must be integers.*strings.*`np.unique"),
        (X, np.arange(8) - 1, ValueError, r"`ids` must be in \[0"),
        (X, {}, ValueError, "`ids` must be an array, or a dict .*an empty dict"),
        (X, {"image": np.arange(8), "audio": np.arange(8)}, ValueError, "'audio'.*`x` has 'image'"),
        (
            X,
            {"image": np.arange(8), "text": np.arange(7)},
            ValueError,
            r"`ids\['text'\]` must have the shape \(8,\), one integer for each row of `x\['text",
        ),
    ],
)
def test_invalid_corpora_raise_in_the_constructor(x, ids, error, message):
    with pytest.raises(error, match=message):
        RetrievalEvaluation(x, ids)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (None, "dict of arrays by modality if the numbers .*ids=None, embeddings image 3, text 5"),
        (np.arange(3), "one id for each embedding. Received: 3 for 'text'"),
        ({"image": np.arange(3), "audio": np.arange(5)}, "Received: none for 'text'"),
        (
            {"image": np.arange(3), "text": [0, 1, 2, 2, 9]},
            "each id of the modality 'text' in 'image' too. Received: id 9 of 'text'",
        ),
    ],
)
def test_ids_that_do_not_match_the_embeddings_raise(rng, ids, message):
    x = {"image": rng.normal(size=(3, 4)), "text": rng.normal(size=(5, 4))}
    with pytest.raises(ValueError, match=message):
        RetrievalEvaluation(x, ids, embed=identity).evaluate()


def test_model_that_returns_one_tensor_raises_in_fit(rng):
    model = ContrastiveTrainer(towers.tower(6), augmenters=towers.Shift())
    model.compile("adam", InfoNCE())
    x = rng.normal(size=(4, 6)).astype("float32")
    search = RetrievalEvaluation(towers.pairs(4), embed=lambda model, x: x["image"])
    with pytest.raises(TypeError, match=r"dict of at least two modalities.*Pass `embed`"):
        model.fit(x, callbacks=[search], verbose=0)
