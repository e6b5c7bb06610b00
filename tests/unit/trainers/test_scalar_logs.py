"""The logs of each epoch have the learnable temperature and bias of the loss."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import LearnableBias, LearnableTemperature
from keras_contrastive.losses import InfoNCE, SigmoidContrastive
from keras_contrastive.trainers._scalar_logs import ScalarLogs
from tests.helpers.backend import COMPILE_LEAST
from tests.helpers.stateful import trainer
from tests.helpers.towers import pairs, settle, tower


class Seen(keras.callbacks.Callback):
    """Stores the logs that a callback of the user gets, and the temperature of each epoch."""

    def __init__(self):
        super().__init__()
        self.logs, self.batch_logs, self.temperatures = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.batch_logs.append(dict(logs))

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append(dict(logs))
        self.temperatures.append(1 / ops.convert_to_numpy(self.model.loss.scale()))


def test_temperature_and_bias_are_those_after_the_last_step_of_the_epoch():
    seen, x = Seen(), pairs()
    model = trainer(SigmoidContrastive(LearnableTemperature(0.5), LearnableBias(-2.0)))
    arguments = {"validation_data": (x, None), "callbacks": [seen], "verbose": 0}
    history = model.fit(x, batch_size=12, epochs=2, **arguments).history
    assert set(history) == {"loss", "temperature", "bias", "val_loss"}
    assert history["temperature"] == pytest.approx(np.ravel(seen.temperatures), rel=1e-6)
    assert history["temperature"][0] != history["temperature"][1] != 0.5
    assert history["bias"][-1] == pytest.approx(float(ops.convert_to_numpy(model.loss.bias.bias)))
    # Other callbacks of the user see them. Steps and evaluations do not report them.
    assert [logs["temperature"] for logs in seen.logs] == history["temperature"]
    assert all(set(logs) == {"loss"} for logs in seen.batch_logs)
    assert set(model.evaluate(x, verbose=0, return_dict=True)) == {"loss"}


def test_each_direction_has_a_column_if_it_has_a_temperature(capsys):
    model = trainer(InfoNCE(LearnableTemperature(0.5, per_direction=True)), **COMPILE_LEAST)
    history = model.fit(pairs(), batch_size=24, verbose=2).history
    names = ["temperature_image_to_text", "temperature_text_to_image"]
    assert set(history) == {"loss", *names}
    expected = 1 / ops.convert_to_numpy(model.loss.scale())
    assert [history[name][0] for name in names] == pytest.approx(expected, rel=1e-6)
    assert "temperature_image_to_text: 0." in capsys.readouterr().out  # in the progress bar


def test_single_direction_has_the_plain_name():
    loss = InfoNCE(LearnableTemperature(0.5, per_direction=True), symmetric=False)
    history = trainer(loss, **COMPILE_LEAST).fit(pairs(), batch_size=24, verbose=0).history
    assert set(history) == {"loss", "temperature"}


def test_fixed_temperature_has_no_column():
    history = trainer(InfoNCE(), **COMPILE_LEAST).fit(pairs(), batch_size=24, verbose=0).history
    assert set(history) == {"loss"}


def test_regularizer_of_that_name_keeps_it():
    class Zero(keras.layers.Layer):
        def penalty(self, views):
            return ops.zeros(())

    encoders = {"image": settle(tower(6)), "text": settle(tower(5))}
    model = ContrastiveTrainer(encoders, regularizers=[Zero(name="temperature")])
    model.compile("sgd", InfoNCE(LearnableTemperature(0.5)), **COMPILE_LEAST)
    assert model.fit(pairs(), batch_size=24, verbose=0).history["temperature"] == [0.0]


def test_container_of_callbacks_gets_one_column_in_each_fit():
    model = trainer(InfoNCE(LearnableTemperature(0.5)), **COMPILE_LEAST)
    callbacks = keras.callbacks.CallbackList([Seen()], add_history=True, model=model)
    for _ in range(2):
        history = model.fit(pairs(), batch_size=24, verbose=0, callbacks=callbacks).history
        assert len(history["temperature"]) == len(history["loss"])
    assert sum(isinstance(found, ScalarLogs) for found in callbacks.callbacks) == 1
