"""Curves of a training by kind."""

import csv
import math

import keras
import numpy as np
import pytest

from keras_contrastive import viz
from keras_contrastive.layers import LearnableTemperature
from keras_contrastive.losses import InfoNCE
from keras_contrastive.metrics import EffectiveRank, RecallAtK
from tests.helpers.backend import COMPILE_LEAST
from tests.helpers.stateful import trainer
from tests.helpers.towers import pairs
from tests.unit.viz.figures import history

pytestmark = pytest.mark.viz


def panels(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def curves(axes):
    return {line.get_gid(): line for line in axes.lines if line.get_gid()}


def test_history_and_log_file_of_a_trainer_have_the_same_panels(tmp_path):
    path, x = tmp_path / "log.csv", pairs()
    metrics = [RecallAtK(1), EffectiveRank()]
    model = trainer(InfoNCE(LearnableTemperature(0.1)), metrics=metrics, **COMPILE_LEAST)
    log = keras.callbacks.CSVLogger(str(path))
    data = {"validation_data": (x, None), "callbacks": [log], "verbose": 0}
    result = model.fit(x, batch_size=12, epochs=3, **data)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    for source in (result, result.history, {name: [r[name] for r in rows] for name in rows[0]}):
        found = panels(viz.training(source))
        names = ["loss (nats)", "temperature", "effective rank", "recall_at_1"]
        assert list(found) == names
        loss = curves(found["loss (nats)"])
        assert list(loss) == ["loss", "val_loss"]
        np.testing.assert_allclose(loss["loss"].get_ydata(), result.history["loss"], rtol=1e-6)
        assert list(loss["loss"].get_xdata()) == [1, 2, 3]
        assert list(curves(found["temperature"])) == ["temperature"]
        assert list(curves(found["effective rank"])) == ["effective_rank", "val_effective_rank"]


def test_validation_is_dashed_in_the_color_of_its_training():
    figure = viz.training(history())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "validation"]
    assert viz.training({"loss": [1.0, 0.9]}).legends == []
    loss = curves(panels(figure)["loss (nats)"])
    assert loss["loss"].get_color() == loss["val_loss"].get_color()
    assert loss["loss"].get_linestyle() == "-"
    assert loss["val_loss"].get_linestyle() == "--"


def test_several_measures_of_a_kind_share_a_panel_with_a_legend():
    values = {"recall_at_1": [0.1], "val_recall_at_1": [0.2], "knn_accuracy": [0.3]}
    axes = panels(viz.training(values))["retrieval and accuracy"]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["recall_at_1", "knn_accuracy"]
    assert len({line.get_color() for line in axes.lines}) == 2
    assert panels(viz.training({"map_at_r": [0.1]}))["map_at_r"].get_legend() is None


def test_epochs_without_a_value_are_bridged_and_marked():
    line = curves(panels(viz.training(history()))["recall_at_1"])["val_recall_at_1"]
    assert list(line.get_xdata()) == [1, 6, 11]
    assert line.get_marker() == "o"


def test_panels_share_their_epochs():
    figure = viz.training(history())
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert [axes.get_xlabel() for axes in figure.axes].count("epoch") == 2


def test_unknown_columns_have_panels_of_their_own_and_columns_chooses():
    values = {**history(), "learning_rate": np.full(15, 1e-3), "val_learning_rate": np.ones(15)}
    assert "learning_rate" in panels(viz.training(values))
    assert list(panels(viz.training(values, ["loss"]))) == ["loss (nats)"]
    assert list(curves(viz.training(values, ["loss"]).axes[0])) == ["loss", "val_loss"]
    assert list(curves(viz.training(values, ["val_loss"]).axes[0])) == ["val_loss"]


def test_log_of_the_batch_size_is_marked_in_the_panel_of_the_loss():
    axes = panels(viz.training(history(), batch_size=64))["loss (nats)"]
    (mark,) = [text for text in axes.texts if text.get_text() == "log(64)"]
    assert mark.xy[1] == pytest.approx(math.log(64))
    assert axes.get_ylim()[1] > math.log(64)


def test_constant_does_not_look_like_noise():
    low, high = viz.training({"temperature": [0.07, 0.07 + 1e-12]}).axes[0].get_ylim()
    assert low == 0
    assert high == pytest.approx(0.14)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0, 2.0],), TypeError, "`history` must be what `fit` returns"),
        (({},), ValueError, "at least one column with a value"),
        (({"loss": []},), ValueError, "at least one column with a value"),
        (({"loss": [1], "val_loss": [1, 2]},), ValueError, "one value per epoch"),
        (({"loss": [1]}, ["accuracy"]), ValueError, "`columns` must contain names of columns"),
        (({"loss": [1]}, None, 0), ValueError, "`batch_size` must be"),
    ],
)
def test_wrong_arguments_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        viz.training(*arguments)
