"""Wrong arguments of losses, metrics and regularizers raise before anything is computed."""

import functools
import json

import numpy as np
import pytest
from keras import ops

from keras_contrastive import losses, metrics
from keras_contrastive.layers import (
    BrownianBridge,
    DeepFeatureSeparation,
    EmbeddingQueue,
    GeometricConsistency,
    LearnableBias,
    MomentumTeacher,
)
from tests.contracts.loss_cases import LOSSES
from tests.contracts.test_metrics import CASES as METRICS
from tests.helpers.backend import to_numpy

VIEWS = {name: np.eye(4, dtype="float32") for name in ("a", "b")}
REGULARIZERS = {
    "GeometricConsistency": lambda: GeometricConsistency(),
    "DeepFeatureSeparation": lambda: DeepFeatureSeparation(contrast=0.0),
    "BrownianBridge": lambda: BrownianBridge(),
}
each_loss = pytest.mark.parametrize("name", LOSSES)
each_metric = pytest.mark.parametrize("name", METRICS)
each_regularizer = pytest.mark.parametrize("name", REGULARIZERS)

WRONG_WEIGHTS = {
    "too short": (np.ones(3), ValueError, r"`\(4,\)` or `\(4, 1\)`.*Received: sample_weight \(3,"),
    "too long": (np.ones(5), ValueError, r"Received: sample_weight \(5,\)"),
    "two columns": (np.ones((4, 2)), ValueError, r"Received: sample_weight \(4, 2\)"),
    "a row": (np.ones((1, 4)), ValueError, r"Received: sample_weight \(1, 4\)"),
    "one": (np.ones(1), ValueError, r"Received: sample_weight \(1,\)"),
    "a number": (2.0, ValueError, r"Received: sample_weight \(\)"),
    "strings": (["1", "2", "3", "4"], TypeError, "one number per row. Received: sample_weight"),
    "objects": (np.array([1, None, 2, 3]), TypeError, "sample_weight with dtype object"),
}
WRONG_PRESENCE = {
    "too short": (np.ones(3, bool), ValueError, r"`\(4,\)` or `\(4, 1\)`.*\(3,\)"),
    "one": (np.ones(1, bool), ValueError, r"\(1,\)"),
    "a scalar": (True, ValueError, r"\(\)"),
    "two columns": (np.ones((4, 2), bool), ValueError, r"\(4, 2\)"),
    "None": (None, TypeError, "one bool per row"),
    "strings": (["yes"] * 4, TypeError, "one bool per row"),
}


def table(cases):
    return pytest.mark.parametrize(("value", "error", "message"), cases.values(), ids=cases)


@each_loss
@table(WRONG_WEIGHTS)
def test_weights_of_a_loss(name, value, error, message):
    with pytest.raises(error, match=message):
        LOSSES[name].make()(None, VIEWS, sample_weight=value)


@each_metric
@table(WRONG_WEIGHTS)
def test_weights_of_a_metric(name, value, error, message):
    with pytest.raises(error, match=message):
        METRICS[name].make().update_state(None, VIEWS, value)


@table(WRONG_WEIGHTS)
def test_weights_of_answers(value, error, message):
    metric = metrics.AnswerAccuracy()
    with pytest.raises(error, match=message):
        metric.update_state(np.ones((4, 2), int), np.zeros((4, 2, 3), "float32"), value)


@each_loss
@table(WRONG_PRESENCE)
def test_presence_of_a_loss(name, value, error, message):
    with pytest.raises(error, match=r"`present\['b'\]` must.*" + message):
        LOSSES[name].make()(None, VIEWS, present={"b": value})


@each_regularizer
@table(WRONG_PRESENCE)
def test_presence_of_a_regularizer(name, value, error, message):
    with pytest.raises(error, match=r"`present\['b'\]` must.*" + message):
        REGULARIZERS[name]().penalty(VIEWS, present={"b": value})


@each_loss
def test_presence_may_be_a_column(name):
    loss, mask = LOSSES[name].make(), np.array([True, True, False, True])
    expected = float(loss(None, VIEWS, present={"b": mask}))
    for form in (mask[:, None], mask.tolist(), mask.astype("int32"), mask.astype("float32")):
        assert float(loss(None, VIEWS, present={"b": form})) == expected


def test_presence_of_a_regularizer_may_be_a_column():
    mask = np.array([True, True, False, True])
    layer = GeometricConsistency()
    views = {"a": VIEWS["a"], "b": VIEWS["b"][::-1].copy()}
    found, expected = (
        float(layer.penalty(views, present={"b": form})) for form in (mask[:, None], mask)
    )
    assert found == expected


@each_loss
def test_presence_must_be_a_dict(name):
    with pytest.raises(TypeError, match=r"`present` must be `None` or a dict.*type list"):
        LOSSES[name].make()(None, VIEWS, present=[np.ones(4, bool)] * 2)


@each_loss
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([np.eye(4)], TypeError, "`hard_negatives` must be `None` or a dict.*type list"),
        (np.eye(4), TypeError, "`hard_negatives` must be `None` or a dict.*type ndarray"),
        ({0: None}, TypeError, r"Hard negatives must be floating.*\[0\] with dtype object"),
        ({0: np.eye(4, dtype=int)}, TypeError, r"hard_negatives\[0\] with dtype int"),
        ({0: ["a"]}, TypeError, r"hard_negatives\[0\] with dtype"),
        ({0: np.eye(3)}, ValueError, r"Hard negatives must have the shape `\(any, dim\)`"),
        ({0: np.ones(4)}, ValueError, r"Hard negatives must have the shape `\(any, dim\)`"),
        ({2: np.eye(4)}, ValueError, "`hard_negatives` must name views of this batch: a, b"),
    ],
)
def test_hard_negatives(name, value, error, message):
    with pytest.raises(error, match=message):
        LOSSES[name].make()(None, VIEWS, hard_negatives=value)


@each_loss
def test_no_hard_negatives(name):
    loss = LOSSES[name].make()
    expected = float(loss(None, VIEWS))
    for nothing in (None, {}, {0: np.zeros((0, 4), "float32")}):
        assert float(loss(None, VIEWS, hard_negatives=nothing)) == expected


@pytest.mark.parametrize("views", [{"a": VIEWS["a"], "b": None}, {"a": VIEWS["a"], "b": "b"}])
def test_view_that_is_not_an_array(views):
    for call in (
        lambda: losses.InfoNCE()(None, views),
        lambda: metrics.Uniformity().update_state(None, views),
        lambda: GeometricConsistency().penalty(views),
    ):
        with pytest.raises(TypeError, match=r"floating[- ]point.*Received: b with dtype"):
            call()


@pytest.mark.parametrize(
    ("ids", "error"),
    [(np.arange(3), ValueError), (np.zeros((4, 2), int), ValueError), (list("abcd"), TypeError)],
)
def test_ids_of_a_regularizer(ids, error):
    with pytest.raises(error, match="`ids` must"):
        GeometricConsistency().penalty(VIEWS, ids=ids)


EMPTY = {name: np.zeros((0, 4), "float32") for name in ("a", "b")}


@each_loss
def test_empty_batch_of_a_loss(name):
    with pytest.raises(ValueError, match=r"at least one row. Received: a \(0, 4\), b \(0, 4\)"):
        LOSSES[name].make()(None, EMPTY)


@each_metric
def test_empty_batch_of_a_metric(name):
    with pytest.raises(ValueError, match=r"at least one row. Received: a \(0, 4\)"):
        METRICS[name].make().update_state(None, EMPTY)


@each_regularizer
def test_empty_batch_of_a_regularizer(name):
    with pytest.raises(ValueError, match=r"at least one row. Received: a \(0, 4\)"):
        REGULARIZERS[name]().penalty(EMPTY)


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("make", "argument", "values"),
    [
        *((losses.InfoNCE, "temperature", [x]) for x in (INF, NAN, 0.0, -1.0, 1e-46, 1e-39)),
        (losses.DecoupledContrastive, "weight_sigma", [INF, NAN, 0.0, -1.0, 1e-46]),
        (losses.GammaContrastive, "prior", [NAN, -0.5, -INF]),
        (functools.partial(losses.GlobalContrastive, 4), "max_weight", [NAN, 0.5, -INF]),
        (losses.GammaContrastive, "momentum", [INF, NAN]),
        (losses.SigmoidContrastive, "bias", [INF, NAN]),
        (LearnableBias, "initial", [INF, NAN]),
        (DeepFeatureSeparation, "temperature", [INF, NAN, 1e-46]),
        (DeepFeatureSeparation, "t", [INF, NAN, 0.0, 1e5]),
        (DeepFeatureSeparation, "weight", [INF, NAN, -1.0]),
        (DeepFeatureSeparation, "contrast", [INF, NAN, -1.0]),
        (GeometricConsistency, "in_modal", [INF, NAN]),
        (BrownianBridge, "t", [INF, NAN, (0.1, NAN)]),
        (metrics.Uniformity, "t", [INF, NAN, 0.0]),
        (metrics.Alignment, "alpha", [INF, NAN]),
        (MomentumTeacher, "momentum", [INF, NAN, 1.0]),
        (MomentumTeacher, "soft_targets", [INF, NAN]),
    ],
)
def test_numbers_without_a_meaning(make, argument, values):
    for value in values:
        with pytest.raises(ValueError, match=f"`{argument}` must be .*Received: "):
            make(**{argument: value})


@pytest.mark.parametrize("dtype", ["floaty", "int32", "bool", "string"])
@each_loss
def test_dtype_of_a_loss(name, dtype):
    with pytest.raises(
        ValueError, match=f"`dtype` must be a floating-point dtype.*Received: dtype='{dtype}'"
    ):
        LOSSES[name].make(dtype=dtype)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16], ids=lambda x: x.__name__)
def test_numpy_scalars_are_numbers(kind):
    integer, half = np.int64(4), kind(0.5)
    objects = [
        losses.InfoNCE(half),
        losses.DecoupledContrastive(half, weight_sigma=half),
        losses.GammaContrastive(
            half, num_items=integer, draws=integer, prior=kind(2), momentum=half, seed=integer
        ),
        losses.GlobalContrastive(integer, half, momentum_steps=integer),
        losses.SigmoidContrastive(half, bias=-half),
        metrics.Alignment(alpha=half),
        metrics.Uniformity(t=half),
        metrics.EffectiveRank(order=np.int32(1)),
        metrics.RecallAtK(k=integer),
        DeepFeatureSeparation(half, half, half, half, depth=integer, units=integer, t=half),
        GeometricConsistency(half, half, half, half, weight=half),
        BrownianBridge(t=half, seed=integer, weight=half),
        EmbeddingQueue(integer, integer, integer),
        LearnableBias(half),
        MomentumTeacher(half, half, integer),
    ]
    for each in objects:
        config = each.get_config()
        json.dumps(config)
        assert type(each).from_config(config).get_config() == config
    float(objects[0](None, VIEWS))
    float(objects[4](None, VIEWS))


def test_bfloat16_arrays_are_compared_in_float32(rng):
    a, b = (rng.normal(size=(64, 16)) + 4 for _ in range(2))
    weights = rng.uniform(1, 2, size=64)
    half = [ops.cast(x, "bfloat16") for x in (a, b, weights)]
    arrays = [ops.convert_to_numpy(x) for x in half]
    wide = [to_numpy(ops.cast(x, "float32")) for x in half]
    loss = losses.InfoNCE(0.1)
    found = loss(None, tuple(arrays[:2]), arrays[2], hard_negatives={1: arrays[0]})
    expected = loss(None, tuple(wide[:2]), wide[2], hard_negatives={1: wide[0]})
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
    for name, case in METRICS.items():
        values = []
        for x in (arrays, wide):
            metric = case.make()
            metric.update_state(None, x[:2], x[2])
            values.append(float(metric.result()))
        assert values[0] == pytest.approx(values[1], rel=1e-5), name
    layer = GeometricConsistency()
    found, expected = (float(layer.penalty({"a": x[0], "b": x[1]})) for x in (arrays, wide))
    assert found == pytest.approx(expected, rel=1e-5)
