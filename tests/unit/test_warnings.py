"""Use that is plausible but wrong is told once, at the line of the user, with the cure."""

import warnings

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive import augmentation as aug
from keras_contrastive.evaluation import retrieval
from keras_contrastive.layers import EmbeddingQueue, LearnableTemperature
from keras_contrastive.losses import (
    BarlowTwins,
    Circle,
    InfoNCE,
    MultiSimilarity,
    NTXent,
    SupCon,
    Triplet,
    VICReg,
)
from keras_contrastive.trainers._augmenter_checks import warn_of_values
from keras_contrastive.trainers._likely_mistakes import warn_of_likely_mistakes
from tests.helpers.backend import COMPILE_LEAST
from tests.helpers.towers import pairs, settle, tower, towers

layers = keras.layers


def told(message):
    return pytest.warns(UserWarning, match=message)


# Temperature


@pytest.mark.parametrize("cast", [float, int, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("make", [InfoNCE, NTXent, SupCon, LearnableTemperature])
def test_a_temperature_that_may_be_a_logit_scale_is_told(make, cast):
    with told(r"is 14, .*If it is a logit scale, pass 1 / scale") as record:
        make(cast(14))
    assert [warning.filename for warning in record] == [__file__]


@pytest.mark.parametrize("make", [InfoNCE, LearnableTemperature])
@pytest.mark.parametrize("temperature", [0.01, 1, 2, np.float32(2)])
def test_usual_temperatures_are_not_told(make, temperature):
    make(temperature)


# Layers without randomness


DETERMINISTIC = {
    "rescaling": lambda: layers.Rescaling(1 / 255, name="rescaling"),
    "resizing": lambda: layers.Resizing(4, 4, name="resizing"),
    "normalization": lambda: layers.Normalization(mean=0.0, variance=1.0, name="normalization"),
    "crop": lambda: layers.CenterCrop(4, 4, name="crop"),
}


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_layer_without_randomness_in_an_augmenter_is_told(name):
    def inside():
        return keras.Sequential([DETERMINISTIC[name](), layers.RandomFlip()])

    nested = keras.Sequential([keras.Sequential([layers.RandomFlip(), DETERMINISTIC[name]()])])
    for augmenter in (DETERMINISTIC[name](), inside(), nested):
        with told(rf"`augmenters` contains layers without randomness: {name} \(.*\)\..*encoder"):
            ContrastiveTrainer(tower(6), augmenters=augmenter)
    with told(rf"`augmenters\['image'\]` contains layers without randomness: {name} ") as record:
        ContrastiveTrainer(towers(), augmenters={"image": inside(), "text": layers.Identity()})
    assert [warning.filename for warning in record] == [__file__]


def test_random_layers_are_not_told():
    augmenter = keras.Sequential([layers.RandomFlip(), layers.GaussianNoise(1), layers.Identity()])
    ContrastiveTrainer(tower(6), augmenters=augmenter)
    ContrastiveTrainer(tower(6), augmenters=aug.SimCLRImageAugmenter(size=4))


# Images outside of the range


def images(low, high):
    x = np.random.default_rng(0).uniform(low, high, size=(4, 6, 6, 3)).astype("float32")
    x[0, 0, 0, :2] = low, high
    return x


CLIPPING = {
    "jitter": aug.RandomColorJitter,
    "simclr": aug.SimCLRImageAugmenter,
    "part": lambda **kw: aug.SimCLRImageAugmenter(color_jitter=aug.RandomColorJitter(**kw)),
}


@pytest.mark.parametrize("name", CLIPPING)
@pytest.mark.parametrize(
    ("limits", "values"), [((0, 255), (-1, 1)), ((0, 1), (0, 255)), ((-1, 1), (0, 1.5))]
)
def test_images_outside_of_the_range_are_told_once(name, limits, values):
    layer, x = CLIPPING[name](value_range=limits), images(*values)
    low, high = (f"{value:g}" for value in values)
    with told(f"`value_range` of .* but images have values from {low} to {high}") as record:
        layer(x, training=True)
    assert [warning.filename for warning in record] == [__file__]
    layer(x, training=True)


@pytest.mark.parametrize("name", CLIPPING)
def test_images_in_the_range_are_not_told(name):
    for limits in ((0, 255), (0, 1), (-1, 1)):
        CLIPPING[name](value_range=limits)(images(*limits), training=True)
    # Outside of training, nothing is clipped.
    CLIPPING[name](value_range=(0, 1))(images(0, 255))


def test_layers_that_do_not_clip_are_not_told():
    for layer in (aug.RandomFlip(), aug.SimCLRImageAugmenter(color_jitter=False)):
        layer(images(-1, 1), training=True)


def test_the_arrays_of_a_trainer_are_checked():
    x = images(-1, 1)

    def simclr():
        return aug.SimCLRImageAugmenter()

    flip, scaled = aug.RandomFlip(), layers.Rescaling(127.5, 127.5)
    for augmenters, inputs in (
        (simclr(), x),
        ({"image": simclr(), "text": None}, {"image": x, "text": x}),
        (keras.Sequential([keras.Input((6, 6, 3)), simclr()]), x),
    ):
        with told("`value_range`"):
            warn_of_values(augmenters, inputs)
        warn_of_values(augmenters, inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for augmenters, inputs in (
            (None, x),
            (flip, x),
            (keras.Sequential([scaled, simclr()]), x),
            ({"image": simclr()}, {"text": x}),
            (simclr(), iter([x])),
        ):
            warn_of_values(augmenters, inputs)


# Hard negatives and labels


def warn_of_data(x, ids=None, loss=None, encoders=None, **kwargs):
    model = ContrastiveTrainer(encoders or towers(), **kwargs)
    model.loss = loss or InfoNCE()
    warn_of_likely_mistakes(model, x, ids, batch_size=8)


def test_the_own_positive_as_a_hard_negative_is_told():
    x, extra = pairs(8), {"hard_negatives": {"wrong": "text"}}
    wrong = np.roll(x["text"], 1, axis=0)
    wrong[2:4] = x["text"][2:4]
    several = np.stack([np.roll(x["text"], 2, axis=0), wrong], axis=1)
    message = r"`wrong` contains the row's own `text` in 2 of the first 8 rows\..*hard_negative_ids"
    for hard in (wrong, several):
        with told(message):
            warn_of_data({**x, "wrong": hard}, **extra)
    rows = np.arange(8, dtype="int32")
    present = {"has_text": (rows > 3).astype("int32")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_data({**x, "wrong": np.roll(x["text"], 1, axis=0)}, **extra)
        warn_of_data({**x, "wrong": x["text"][:, :2]}, **extra)
        absent = {"present": {"has_text": "text"}, **extra}  # its rows 2 and 3 are placeholders
        warn_of_data({**x, "wrong": wrong, **present}, **absent)
        with_ids = {"hard_negative_ids": {"wrong_id": "wrong"}, **extra}
        warn_of_data({**x, "wrong": wrong, "wrong_id": rows}, **with_ids)


def test_fit_tells_of_the_own_positive_as_a_hard_negative():
    model = ContrastiveTrainer(towers(), hard_negatives={"wrong": "text"})
    model.compile("sgd", InfoNCE(), **COMPILE_LEAST)
    with told("`wrong` contains the row's own `text` in 8 of the first 8 rows") as record:
        model.fit({**pairs(8), "wrong": pairs(8)["text"]}, verbose=0)
    ours = [warning for warning in record if "own `text`" in str(warning.message)]
    assert [warning.filename for warning in ours] == [__file__]


def test_labels_that_are_all_distinct_are_told_if_there_is_one_view():
    x, encoders = {"image": pairs(8)["image"]}, {"image": towers()["image"]}
    distinct = np.arange(8, dtype="int32")
    for loss in (SupCon(), InfoNCE()):
        with told(r"`y` has 8 labels for 8 rows, all distinct\..*always 0"):
            warn_of_data(x, distinct, loss, encoders)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_data(x, distinct // 2, SupCon(), encoders)
        warn_of_data(x, distinct, SupCon(memory=EmbeddingQueue(8, 4)), encoders)
        warn_of_data(pairs(8), distinct, SupCon())
        warn_of_data(x, distinct, SupCon(), encoders, augmenters={"image": layers.Identity()})


@pytest.mark.parametrize("make", [InfoNCE, SupCon, Triplet])
def test_one_id_for_all_rows_is_told(make):
    x, ids = pairs(8), np.full(8, 3)
    one = {"image": x["image"]}, {"image": towers()["image"]}
    message = r"`y` is 3 in all 8 rows\..*no row has a negative"
    with told(message):
        warn_of_data(x, ids, make())
    with told(message):
        warn_of_data(one[0], ids, make(), one[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_data(x, np.arange(8) // 4, make())
        for loss in (BarlowTwins(), VICReg(), InfoNCE(memory=EmbeddingQueue(8, 4))):
            warn_of_data(x, ids, loss)


@pytest.mark.parametrize("make", [Triplet, MultiSimilarity, Circle])
def test_labels_that_make_no_positives_are_told_if_there_are_two_views(make):
    x, labels = pairs(8)["image"], np.arange(8, dtype="int32") // 2
    views, by_name = {"augmenters": layers.Identity()}, {"augmenters": {"image": layers.Identity()}}
    message = rf"`{make.__name__}` gets two views of each row\..*use `SupCon`"
    with told(message):
        warn_of_data(x, labels, make(), tower(6), **views)
    with told(message):
        warn_of_data({"image": x}, labels, make(), {"image": tower(6)}, **by_name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_data({"image": x}, labels, make(), {"image": tower(6)})
        warn_of_data(x, np.arange(8, dtype="int32"), make(), tower(6), **views)
        warn_of_data(x, labels, SupCon(), tower(6), **views)
        warn_of_data(pairs(8), labels, make())


def test_names_that_no_tower_uses_are_told():
    x, rows = pairs(8), np.arange(8, dtype="int32")
    with told(r"`x` has names that the trainer does not use: id, set\. It uses image, text\."):
        warn_of_data({**x, "id": rows, "set": rows})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        present = {"present": {"has_text": "text"}}
        warn_of_data({**x, "has_text": np.ones(8, "int32")}, **present)


# Evaluation


def test_several_rows_of_the_corpus_for_each_query_are_told_without_ids():
    images, captions = np.split(np.random.default_rng(0).normal(size=(24, 3)), [4])
    with told("`corpus` has 5 rows for each of 4 queries, .*pass `query_ids`") as record:
        retrieval(images, captions)
    ours = [warning for warning in record if "`corpus`" in str(warning.message)]
    assert [warning.filename for warning in ours] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        retrieval(images, captions, np.arange(4), np.arange(20) // 5)
        retrieval(images, captions, np.arange(4))
        retrieval(images, captions, relevant=[[0, 1], [1, 5]])
        retrieval(images, captions[:4])
        retrieval(images, captions[:7])


# `tf.data`


@pytest.mark.parametrize("make", [aug.RandomFlip, lambda: aug.RandomTokenMasking(mask_id=1)])
def test_an_augmenter_inside_tf_data_of_another_backend_raises(make, monkeypatch):
    symbolic = type("SymbolicTensor", (), {"__module__": "tensorflow.python.framework.ops"})
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(
        TypeError, match=r"cannot run inside `tf.data` .*backend 'torch'.*augmenters"
    ):
        make()(symbolic(), training=True)


def test_an_eager_training_step_checks_images():
    flat = [keras.Input((6, 6, 3)), layers.Flatten(), layers.Dense(4)]
    encoder = settle(keras.Sequential(flat))
    model = ContrastiveTrainer(encoder, augmenters=aug.SimCLRImageAugmenter())
    model.compile("sgd", InfoNCE(), run_eagerly=True)
    warn_of_values(model.augmenters, images(0, 255))
    model.train_on_batch(images(0, 255))
