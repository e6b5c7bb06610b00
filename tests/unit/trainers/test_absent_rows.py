"""Rows that lack a modality have no influence there, whatever stands in their place."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer, metrics
from keras_contrastive.layers import (
    BrownianBridge,
    DeepFeatureSeparation,
    EmbeddingQueue,
    GeometricConsistency,
    MomentumTeacher,
)
from keras_contrastive.losses import InfoNCE, NTXent
from keras_contrastive.trainers._absent_rows import fill_absent_rows
from tests.helpers import fusion_trainers
from tests.helpers.backend import COMPILE_LEAST, to_numpy
from tests.helpers.towers import Directions, MeanSquare, Shift, pairs, settle, towers

ROWS = 16
HAS_IMAGE = np.arange(ROWS) % 4 != 1
HAS_TEXT = np.arange(ROWS) % 2 == 0
PLACEHOLDERS = (0.0, 100.0, np.nan, np.inf)
layers = keras.layers


# The rows that take their place


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ("1111", "0123"),
        ("0100", "1111"),
        ("1010", "0022"),
        ("0011", "2323"),
        ("1001000", "0033030"),
    ],
)
def test_present_rows_take_the_places_in_turn(present, expected):
    mask = ops.convert_to_tensor([digit == "1" for digit in present])
    x = np.arange(len(present) * 3, dtype="float32").reshape(-1, 3)
    ids = np.arange(len(present), dtype="int32")
    filled = fill_absent_rows({"x": x, "ids": ids}, mask)
    rows = [int(digit) for digit in expected]
    np.testing.assert_array_equal(to_numpy(filled["x"]), x[rows])
    np.testing.assert_array_equal(to_numpy(filled["ids"]), ids[rows])
    assert filled["ids"].dtype == ops.convert_to_tensor(ids).dtype


def test_without_present_rows_all_are_zero():
    x = {"x": np.full((3, 2), np.nan, "float32"), "flags": np.ones(3, "bool")}
    filled = fill_absent_rows(x, ops.zeros((3,), "bool"))
    assert not to_numpy(filled["x"]).any()
    assert not to_numpy(filled["flags"]).any()


# Trainers


def tower(size, name):
    """A tower with batch normalization, and with a loss of its activities."""
    return settle(
        keras.Sequential(
            [
                keras.Input((size,)),
                layers.Dense(8, activity_regularizer="l2"),
                layers.BatchNormalization(momentum=0.5),
                layers.Dense(4),
            ],
            name=name,
        )
    )


class Norms(keras.metrics.Mean):
    """The mean norm of the views. It ignores the weights of the rows."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(ops.norm(y_pred, axis=-1))


def trainer(loss=None, **parts):
    encoders = {"image": tower(6, "image_tower"), "text": tower(5, "text_tower")}
    presence = {"has_image": "image", "has_text": "text"}
    model = ContrastiveTrainer(encoders, present=presence, **parts)
    measures = [metrics.RecallAtK(1), metrics.Alignment(), metrics.EffectiveRank(), Norms("norms")]
    weighted = [metrics.ModalityGap()]
    model.compile(
        keras.optimizers.Adam(0.01),
        loss or InfoNCE(0.2),
        metrics=measures,
        weighted_metrics=weighted,
        **COMPILE_LEAST,
    )
    return model


def regularizers():
    return [
        GeometricConsistency(name="geometry"),
        BrownianBridge(name="bridge"),
        settle(DeepFeatureSeparation(name="separation")),
        MeanSquare(name="size"),
        settle(Directions(name="directions")),
    ]


PARTS = {
    "towers": dict,
    "micro-batches": lambda: {"micro_batch_size": 4},
    "augmenters": lambda: {"augmenters": {"text": Shift(0.5), "image": layers.GaussianNoise(0.1)}},
    "projectors": lambda: {"projectors": {"text": layers.BatchNormalization(name="projector")}},
    "teacher": lambda: {"teacher": MomentumTeacher(0.5)},
    "soft targets": lambda: {"teacher": MomentumTeacher(0.5, soft_targets=0.4)},
    "hard negatives": lambda: {"hard_negatives": {"wrong": "text", "other": "image"}},
    "regularizers": lambda: {
        "regularizers": regularizers(),
        "augmenters": {"text": Shift(0.5)},
    },
    "queue": lambda: {"loss": InfoNCE(0.2, memory=EmbeddingQueue(24, 4))},
    "all views": lambda: {"loss": NTXent(0.2), "augmenters": {"text": Shift(0.5)}},
}


def data(placeholder, flags=("bool", ())):
    x = {**pairs(ROWS), "wrong": pairs(ROWS, 1)["text"], "other": pairs(ROWS, 2)["image"]}
    owners = {"image": HAS_IMAGE, "text": HAS_TEXT, "wrong": HAS_TEXT, "other": HAS_IMAGE}
    for name, present in owners.items():
        x[name][~present] = placeholder
    dtype, more = flags
    x["has_image"] = HAS_IMAGE.astype(dtype).reshape((ROWS, *more))
    x["has_text"] = HAS_TEXT.astype(dtype).reshape((ROWS, *more))
    return x


def inputs_of(model, x):
    return {name: x[name] for name in (*model.modalities, *model.extra_inputs)}


def results(make, placeholder, **kwargs):
    """Returns the logs of training and of evaluation, and all weights after training."""
    keras.utils.set_random_seed(0)
    model = make()
    x = inputs_of(model, data(placeholder, **kwargs))
    weights = np.linspace(0.5, 2, ROWS).astype("float32")
    options = {"batch_size": 12, "verbose": 0, "sample_weight": weights}
    history = model.fit(x, shuffle=False, epochs=2, **options).history
    logs = model.evaluate(x, return_dict=True, **options)
    return {**history, **logs, "weights": model.get_weights()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    values, others = (keras.tree.flatten(result) for result in (one, other))
    for a, b in zip(values, others, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)


@pytest.mark.traced
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("towers", "queue") else pytest.mark.slow_to_compile)
        for name in PARTS
    ],
)
def test_placeholders_have_no_influence(name):
    def make():
        return trainer(**PARTS[name]())

    zeros = results(make, PLACEHOLDERS[0])
    for placeholder in PLACEHOLDERS[1:]:
        assert_equal(zeros, results(make, placeholder))


@pytest.mark.parametrize("flags", [("int32", ()), ("float32", ()), ("bool", (1,))])
def test_presence_may_have_any_dtype_and_a_last_axis(flags):
    assert_equal(results(trainer, 0.0), results(trainer, np.nan, flags=flags))


def test_moving_statistics_are_those_of_present_rows():
    # Each present row stands in the batch twice.
    model, reference = trainer(), tower(5, "reference")
    model.train_on_batch(data(np.nan))
    reference(pairs(ROWS)["text"][HAS_TEXT], training=True)
    found, expected = (
        [to_numpy(weight) for weight in part.layers[1].non_trainable_weights]
        for part in (model.encoders["text"], reference)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_batch_in_which_no_row_has_a_modality_is_finite():
    model = trainer()
    x = data(np.nan)
    for name, rows in pairs(ROWS).items():
        x[name] = rows
    x["text"] = np.full_like(x["text"], np.nan)
    x["has_text"] = np.zeros(ROWS, "bool")
    logs = model.train_on_batch(x, return_dict=True)
    assert all(np.isfinite(value) for value in logs.values())
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_hard_negatives_of_absent_rows_are_no_candidates():
    x, encoders = data(np.nan), towers()
    presence = {"has_image": "image", "has_text": "text"}
    model = ContrastiveTrainer(encoders, hard_negatives={"wrong": "text"}, present=presence)
    model.compile("sgd", InfoNCE(0.2), **COMPILE_LEAST)
    found = model.evaluate(x, verbose=0)
    views = {name: encoders[name](np.nan_to_num(x[name])) for name in encoders}
    present = {"image": ops.convert_to_tensor(HAS_IMAGE), "text": ops.convert_to_tensor(HAS_TEXT)}
    wrong = encoders["text"](x["wrong"][HAS_TEXT])
    expected = float(InfoNCE(0.2)(None, views, present=present, hard_negatives={"text": wrong}))
    assert found == pytest.approx(expected, rel=1e-5)


def test_several_inputs_may_tell_that_a_row_lacks_a_modality():
    presence = {"a": "text", "b": "text"}
    x = {**pairs(ROWS), "a": HAS_IMAGE, "b": HAS_TEXT}
    x["text"][~(HAS_IMAGE & HAS_TEXT)] = np.nan
    encoders = {"image": tower(6, "image_tower"), "text": tower(5, "text_tower")}
    model = ContrastiveTrainer(encoders, present=presence)
    model.compile("sgd", InfoNCE(), **COMPILE_LEAST)
    assert np.isfinite(model.train_on_batch(x))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_predict_returns_zeros_for_absent_rows_only_if_it_is_told():
    model, x = trainer(), data(7.0)
    told = model.predict(x, verbose=0)
    untold = model.predict({name: x[name] for name in ("image", "text")}, verbose=0)
    for name, present in (("image", HAS_IMAGE), ("text", HAS_TEXT)):
        np.testing.assert_allclose(told[name][present], untold[name][present], rtol=1e-6)
        assert not told[name][~present].any()
        assert untold[name][~present].any(axis=1).all()


# Fusion


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("as_dict", [False, True])
def test_placeholders_have_no_influence_in_a_fusion_trainer(as_dict):
    results = []
    for image, text in ((0.0, 0), (np.nan, 7)):
        keras.utils.set_random_seed(0)
        presence = {"has_text": "text", "has_image": "image"}
        model = fusion_trainers.fusion_trainer(present=presence)
        rows = fusion_trainers.ROWS
        x = fusion_trainers.data()
        x |= {"has_text": np.arange(rows) % 3 > 0, "has_image": np.arange(rows) % 4 > 0}
        x["image"][~x["has_image"]] = image
        x["text"][~x["has_text"]] = text
        if as_dict:
            x["text"] = {"token_ids": x["text"], "padding_mask": x["text"] > 0}
        logs = model.train_on_batch(x, return_dict=True)
        logs |= {f"val_{k}": v for k, v in model.evaluate(x, verbose=0, return_dict=True).items()}
        results.append((logs, model.get_weights()))
    assert results[0][0] == results[1][0]
    for one, other in zip(results[0][1], results[1][1], strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, other)


def test_metrics_of_views_are_those_of_the_complete_rows():
    model, complete = trainer(), HAS_IMAGE & HAS_TEXT
    x = inputs_of(model, data(0.0))
    of_all, of_complete = (
        model.evaluate(rows, batch_size=ROWS, verbose=0, return_dict=True)
        for rows in (x, {name: values[complete] for name, values in x.items()})
    )
    for name in ("recall_at_1", "alignment", "effective_rank", "modality_gap"):
        assert of_all[name] == pytest.approx(of_complete[name], rel=1e-5)
