"""Evaluations beside other callbacks: their order, the evaluated weights, and directions."""

import csv
import itertools
import math

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer, metrics
from keras_contrastive.evaluation import (
    CorpusEvaluation,
    KNNProbe,
    LinearProbe,
    RetrievalEvaluation,
    ZeroShotEvaluation,
)
from keras_contrastive.layers import DeepFeatureSeparation
from keras_contrastive.losses import InfoNCE
from tests.helpers.towers import MeanSquare, pairs, towers

MEASURE = "val_image_to_text_mrr"


class FirstWeight(CorpusEvaluation):
    """Measures one weight of the model, as a stand-in for a search."""

    higher_is_better = ("weight",)

    def measures(self):
        return {"weight": float(np.ravel(self.model.get_weights()[0])[0])}


class ValidatedWeight(keras.metrics.Metric):
    """Reports one weight of the model that is validated."""

    def __init__(self, model, **kwargs):
        super().__init__(name="validated", **kwargs)
        self.weight = model.trainable_weights[0]
        self.value = self.add_variable((), "zeros", name="value")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.value.assign(keras.ops.reshape(self.weight, (-1,))[0])

    def result(self):
        return self.value


def compiled(model, **kwargs):
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9)
    model.compile(optimizer, run_eagerly=True, **kwargs)
    return model


def trainer(**kwargs):
    return compiled(ContrastiveTrainer(towers()), loss=InfoNCE(), **kwargs)


def plain_model():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5)])
    return compiled(model, loss="mse")


@pytest.mark.parametrize("swap_on_epoch", [False, True])
@pytest.mark.parametrize("first", ["evaluation", "average"])
@pytest.mark.parametrize("kind", ["trainer", "plain model"])
def test_evaluations_measure_the_weights_of_the_validation(kind, first, swap_on_epoch):
    model, data = (trainer() if kind == "trainer" else plain_model()), pairs(8)
    arrays = (data, None) if kind == "trainer" else (data["image"], data["text"])
    metric, seen = ValidatedWeight(model), []
    evaluation = FirstWeight(freq=2)
    average = keras.callbacks.SwapEMAWeights(swap_on_epoch=swap_on_epoch)
    watch = keras.callbacks.LambdaCallback(
        on_test_batch_end=lambda batch, logs: (
            # JAX keeps the weights outside of the variables until the pass ends.
            getattr(model, "jax_state_sync", lambda: None)(),
            metric.update_state(None, None),
            seen.append(float(metric.result())),
        )
    )
    callbacks = [average, evaluation] if first == "average" else [evaluation, average]
    history = model.fit(
        *arrays, epochs=4, verbose=0, validation_data=arrays, callbacks=[*callbacks, watch]
    ).history
    assert history["val_weight"][1::2] == pytest.approx(seen[1::2])
    assert np.isnan(history["val_weight"][::2]).all()
    assert len(set(seen)) == 4


@pytest.mark.parametrize("swap_on_epoch", [False, True])
@pytest.mark.parametrize("validation_freq", [None, 3])
@pytest.mark.parametrize("first", ["evaluation", "average"])
def test_epochs_without_a_validation_use_the_same_weights(first, validation_freq, swap_on_epoch):
    def fit(**kwargs):
        model, evaluation = trainer(), FirstWeight()
        average = keras.callbacks.SwapEMAWeights(swap_on_epoch=swap_on_epoch)
        callbacks = [average, evaluation] if first == "average" else [evaluation, average]
        history = model.fit(pairs(8), epochs=4, verbose=0, callbacks=callbacks, **kwargs).history
        return history["val_weight"], history["loss"], model.get_weights()

    validated = fit(validation_data=(pairs(8), None))
    options = {"validation_data": (pairs(8), None), "validation_freq": validation_freq}
    rarely = fit(**(options if validation_freq else {}))
    for expected, found in zip(validated, rarely, strict=True):
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


READERS = {
    "CSVLogger": lambda path: keras.callbacks.CSVLogger(path / "log.csv"),
    "EarlyStopping": lambda path: keras.callbacks.EarlyStopping(MEASURE, patience=0),
    "ModelCheckpoint": lambda path: keras.callbacks.ModelCheckpoint(
        path / "best.weights.h5", MEASURE, save_best_only=True, save_weights_only=True
    ),
    "ReduceLROnPlateau": lambda path: keras.callbacks.ReduceLROnPlateau(MEASURE, patience=0),
    "BackupAndRestore": lambda path: keras.callbacks.BackupAndRestore(path / "backup"),
    "TerminateOnNaN": lambda path: keras.callbacks.TerminateOnNaN(),
    "SwapEMAWeights": lambda path: keras.callbacks.SwapEMAWeights(),
}


@pytest.mark.parametrize("container", ["list", "nested", "CallbackList"])
@pytest.mark.parametrize("turned", [False, True])
def test_callbacks_of_keras_work_in_any_order(tmp_path, turned, container):
    model, data = trainer(), pairs(8)
    callbacks = {name: make(tmp_path) for name, make in READERS.items()}
    found = [*callbacks.values(), RetrievalEvaluation(data, k=(1,))]
    found = found[::-1] if turned else found
    if container == "nested":
        found = [found[:3], tuple(found[3:])]
    if container == "CallbackList":
        found = keras.callbacks.CallbackList(found, add_history=True, model=model, epochs=3)
    model.fit(data, epochs=3, verbose=0, validation_data=(data, None), callbacks=found)
    history = model.history.history
    with open(tmp_path / "log.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row[MEASURE]) for row in rows] == pytest.approx(history[MEASURE])
    for name in ("EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau"):
        assert callbacks[name].best == max(history[MEASURE])
        assert "greater" in str(callbacks[name].monitor_op)


def test_tensorboard_gets_the_measures(tmp_path):
    pytest.importorskip("tensorboard")
    pytest.importorskip("tensorflow")
    callbacks = [keras.callbacks.TensorBoard(str(tmp_path)), RetrievalEvaluation(pairs(8), k=(1,))]
    trainer().fit(pairs(8), verbose=0, callbacks=callbacks)
    logged = b"".join(path.read_bytes() for path in tmp_path.rglob("*tfevents*"))
    assert b"image_to_text_mrr" in logged


@pytest.mark.parametrize("turned", [False, True])
def test_a_diverged_model_has_nan_measures_and_training_ends(turned):
    data, labels = pairs(8), np.arange(8) % 2
    model = trainer(jit_compile=False)
    callbacks = [
        keras.callbacks.TerminateOnNaN(),
        RetrievalEvaluation(data, k=(1,)),
        KNNProbe(data["image"], labels, data["image"], labels, modality="image"),
        LinearProbe(data["image"], labels, data["image"], labels, modality="image", shots=2),
        ZeroShotEvaluation(data["image"], labels, ["a", "b"], lambda _: data["text"][:2]),
    ]
    broken = {**data, "image": np.full_like(data["image"], np.nan)}
    callbacks = callbacks[::-1] if turned else callbacks
    history = model.fit(broken, epochs=3, verbose=0, callbacks=callbacks).history
    measures = {name: values for name, values in history.items() if name.startswith("val_")}
    assert len(history["loss"]) == 1
    assert len(measures) > 10
    assert all(math.isnan(value) for values in measures.values() for value in values)


IN_BATCH = {
    "recall_at_1": "greater",
    "alignment": "less",
    "uniformity": "less",
    "effective_rank": "greater",
    "embedding_std": "greater",
    "modality_gap": "less",
    "weighted": "greater",
    "mean_square": "less",
    "separation": "less",
    "separation_orthogonality": "less",
    "loss": "less",
}
MONITORS = {
    "EarlyStopping": lambda monitor, path: keras.callbacks.EarlyStopping(monitor),
    "ModelCheckpoint": lambda monitor, path: keras.callbacks.ModelCheckpoint(
        path / "best.weights.h5", monitor, save_best_only=True, save_weights_only=True
    ),
    "ReduceLROnPlateau": lambda monitor, path: keras.callbacks.ReduceLROnPlateau(monitor),
}


def test_each_metric_has_a_direction():
    # Neither few nor many effective negatives are better.
    without = {metrics.ViewMetric, metrics.EffectiveNegatives}
    ours = {getattr(metrics, name) for name in metrics.__all__} - without
    assert {metric: metric._direction in ("up", "down") for metric in ours} == dict.fromkeys(
        ours, True
    )


@pytest.mark.slow_to_compile
def test_monitors_get_the_direction_of_metrics_and_penalties(tmp_path):
    data = pairs(8)
    regularizers = [
        MeanSquare(name="mean_square"),
        DeepFeatureSeparation(contrast=0.0, name="separation"),
    ]
    model = ContrastiveTrainer(towers(), regularizers=regularizers)
    in_batch = [
        metrics.RecallAtK(1),
        metrics.Alignment(),
        metrics.Uniformity(),
        metrics.EffectiveRank(),
        metrics.EmbeddingStd(),
        metrics.ModalityGap(),
    ]
    compiled(
        model,
        loss=InfoNCE(),
        metrics=in_batch,
        weighted_metrics=[metrics.RecallAtK(2, name="weighted")],
    )
    callbacks = {
        (prefix + name, kind): make(prefix + name, tmp_path)
        for prefix, name in itertools.product(("", "val_"), IN_BATCH)
        for kind, make in MONITORS.items()
    }
    explicit = keras.callbacks.EarlyStopping("val_recall_at_1", mode="min")
    model.fit(
        data, verbose=0, validation_data=(data, None), callbacks=[*callbacks.values(), explicit]
    )
    wrong = {
        key: str(callback.monitor_op)
        for key, callback in callbacks.items()
        if IN_BATCH[key[0].removeprefix("val_")] not in str(callback.monitor_op)
    }
    assert wrong == {}
    assert "less" in str(explicit.monitor_op)


@pytest.mark.parametrize("kind", MONITORS)
@pytest.mark.parametrize(
    ("monitor", "expected"),
    [
        ("val_text_to_image_recall_at_1", "max"),
        ("val_text_to_image_mrr", "max"),
        ("val_text_to_image_median_rank", "min"),
        ("val_zero_shot_mean_class_accuracy", "max"),
        ("val_knn_top_1_accuracy", "max"),
        ("val_knn_2_shot_top_1_accuracy", "max"),
        ("val_knn_2_shot_top_1_accuracy_error", "auto"),
        ("val_linear_cross_entropy", "min"),
        ("val_weight", "max"),
        ("val_unknown", "auto"),
        ("image_to_text_mrr", "auto"),
    ],
)
def test_monitors_get_the_direction_of_measures(tmp_path, kind, monitor, expected):
    x, labels = pairs(8), np.arange(8) % 2
    evaluations = [
        RetrievalEvaluation(x),
        KNNProbe(x["image"], labels, x["image"], labels),
        LinearProbe(x["image"], labels, x["image"], labels),
        ZeroShotEvaluation(x["image"], labels, ["a", "b"], lambda _: x["text"][:2]),
        FirstWeight(),
    ]
    callback = MONITORS[kind](monitor, tmp_path)
    for evaluation in evaluations:
        evaluation.set_callbacks([callback, *evaluations])
    assert callback.mode == expected


def test_prefix_is_part_of_the_name():
    search = RetrievalEvaluation(pairs(8), prefix="test/")
    assert search.mode_of("test/image_to_text_mrr") == "max"
    assert search.mode_of(MEASURE) is None


def test_metric_in_another_keras_model_has_a_direction():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5)])
    model.compile("sgd", InfoNCE(), metrics=[metrics.RecallAtK(1)], run_eagerly=True)
    stop = keras.callbacks.EarlyStopping("recall_at_1")
    data = pairs(8)
    model.fit(data["image"], data["text"], verbose=0, callbacks=[stop])
    assert "greater" in str(stop.monitor_op)
