"""Evaluations that are rare or fail: columns, callbacks that monitor them, and the progress bar."""

import copy
import csv
import math

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.evaluation import (
    CorpusEvaluation,
    KNNProbe,
    RetrievalEvaluation,
    ZeroShotEvaluation,
)
from keras_contrastive.losses import InfoNCE
from tests.helpers.towers import pairs, towers

NAN = math.nan


class Script(CorpusEvaluation):
    """Reports values from a list, and raises those that are errors."""

    higher_is_better = ("score",)

    def __init__(self, *values, **kwargs):
        super().__init__(**kwargs)
        self.values = list(values)

    def dry_run(self):
        return ["score", "other"]

    def measures(self):
        value = self.values.pop(0)
        if isinstance(value, Exception):
            raise value
        return {"score": value, "other": 0.0}


def fit(*callbacks, epochs=6, turned=False, **kwargs):
    """Trains a plain model whose callbacks are prepared by hand."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5), "mse", run_eagerly=True)
    for callback in callbacks:
        if isinstance(callback, CorpusEvaluation):
            callback.set_callbacks(callbacks)
    x = np.ones((2, 2), "float32")
    return model.fit(x, x[:, :1], epochs=epochs, verbose=0, callbacks=list(callbacks)).history


def test_every_epoch_has_every_column(tmp_path):
    path = tmp_path / "log.csv"
    history = fit(Script(3.0, 2.0, freq=2), keras.callbacks.CSVLogger(path), epochs=5)
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(history, 5)
    np.testing.assert_equal(history["val_score"], [NAN, 3.0, NAN, 2.0, NAN])
    with open(path, encoding="utf-8") as file:
        rows = [float(row["val_score"]) for row in csv.DictReader(file)]
    np.testing.assert_equal(rows, history["val_score"])


@pytest.mark.parametrize(
    ("values", "epochs"),
    [((3.0, 2.0, 1.0), 4), ((2.0, 3.0, 1.0), 6), ((NAN, 3.0, 2.0), 6), ((3.0, NAN, 2.0), 6)],
    ids=["falls", "rises", "nan first", "nan later"],
)
def test_early_stopping_counts_evaluations_only(values, epochs):
    stop = keras.callbacks.EarlyStopping("val_score", patience=1)
    history = fit(Script(*values, 0.0, freq=2), stop, epochs=8)
    assert len(history["loss"]) == epochs
    assert stop.best == np.nanmax(values)


def test_checkpoints_and_learning_rates_follow_the_evaluated_epochs(tmp_path):
    saves = {
        best: keras.callbacks.ModelCheckpoint(
            tmp_path / f"{best}-{{epoch}}-{{val_score:.0f}}.weights.h5",
            "val_score",
            save_best_only=best,
            save_weights_only=True,
        )
        for best in (True, False)
    }
    plateau = keras.callbacks.ReduceLROnPlateau("val_score", factor=0.5, patience=1)
    history = fit(Script(1.0, 3.0, 2.0, freq=2), *saves.values(), plateau)
    names = sorted(path.name.removesuffix(".weights.h5") for path in tmp_path.iterdir())
    assert [name for name in names if name.startswith("True")] == ["True-2-1", "True-4-3"]
    assert [name[6:] for name in names if name.startswith("False")] == [
        *("1-nan", "2-1", "3-nan", "4-3", "5-nan", "6-2")
    ]
    assert history["learning_rate"] == [0.5] * 6
    assert plateau.model.optimizer.learning_rate == 0.25


def test_callbacks_that_skip_epochs_can_be_copied():
    stop = keras.callbacks.EarlyStopping("val_score")
    fit(Script(1.0), stop, epochs=1)
    copied = copy.deepcopy(stop)
    copied.on_epoch_end(1, {"val_score": 9.0})
    assert (stop.best, copied.best) == (1.0, 9.0)


def test_errors_are_one_warning_and_do_not_end_training():
    evaluation = Script(1.0, OSError("no disk"), OSError("no disk"), 4.0)
    with pytest.warns(UserWarning, match="`Script` could not evaluate.* OSError: no disk") as seen:
        history = fit(evaluation, epochs=4)
    assert sum("could not evaluate" in str(warning.message) for warning in seen) == 1
    np.testing.assert_equal(history["val_score"], [1.0, NAN, NAN, 4.0])
    np.testing.assert_equal(history["val_other"], [0.0, NAN, NAN, 0.0])
    evaluation.values = [OSError("no disk")]
    with pytest.raises(OSError, match="no disk"):
        evaluation.evaluate()


X, LABELS = pairs(8), np.arange(8) % 2


def trainer():
    model = ContrastiveTrainer(towers())
    model.compile("sgd", InfoNCE(), run_eagerly=True)
    return model


MISTAKES = {
    "modality": lambda: KNNProbe(X["image"], LABELS, X["image"], LABELS, modality="audio"),
    "wrong tower": lambda: KNNProbe(X["image"], LABELS, X["image"], LABELS, modality="text"),
    "size of new inputs": lambda: KNNProbe(X["text"], LABELS, X["image"], LABELS, modality="text"),
    "size of images": lambda: RetrievalEvaluation({**X, "image": X["text"]}),
    "missing modality": lambda: RetrievalEvaluation({"image": X["image"], "audio": X["text"]}),
    "size of prompts": lambda: ZeroShotEvaluation(
        X["image"], LABELS, ["a", "b"], lambda prompts: X["image"][:2]
    ),
    "embed": lambda: RetrievalEvaluation(X, embed=lambda model, x: x["image"]),
    "embed of labels": lambda: KNNProbe(
        X["image"], LABELS, X["image"], LABELS, embed=lambda model, x: x[:3]
    ),
}


@pytest.mark.parametrize("make", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_raised_before_training(make):
    model, batches = trainer(), []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: batches.append(batch)
    )
    with pytest.raises(Exception, match=r".+"):
        model.fit(X, callbacks=[make(), watch], verbose=0)
    assert batches == []
    model.fit(X, verbose=0)


@pytest.mark.parametrize("validates", [False, True])
def test_errors_of_predict_leave_the_model_in_order(validates):
    probe = KNNProbe(X["image"], LABELS, X["image"], LABELS, modality="image")
    good, bad = probe.train, (X["text"], LABELS)
    change = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(probe, "train", bad if epoch == 1 else good)
    )
    data = {"validation_data": (X, None)} if validates else {}
    with pytest.warns(UserWarning, match="`KNNProbe` could not evaluate"):
        history = trainer().fit(X, epochs=3, callbacks=[probe, change], verbose=0, **data).history
    assert np.isfinite(history["loss"]).all()
    assert [math.isnan(value) for value in history["val_knn_top_1_accuracy"]] == [
        *(False, True, False)
    ]


def test_progress_bar_shows_main_measures_and_logs_have_all(capsys):
    callbacks = [
        RetrievalEvaluation(X, freq=2),
        KNNProbe(X["image"], LABELS, X["image"], LABELS, modality="image", shots=(1, 2), draws=2),
    ]
    history = trainer().fit(X, epochs=2, verbose=2, callbacks=callbacks).history
    first, second = capsys.readouterr().out.split("Epoch 2/2")
    knn = ["val_knn_1_shot_top_1_accuracy:", "val_knn_2_shot_top_1_accuracy:"]
    search = ["val_image_to_text_hit_rate_at_1:", "val_text_to_image_hit_rate_at_1:"]
    assert [word for word in first.split() if word.startswith("val_")] == knn
    assert [word for word in second.split() if word.startswith("val_")] == search + knn
    assert {"val_text_to_image_median_rank", "val_knn_2_shot_top_1_accuracy_error"} < set(history)
