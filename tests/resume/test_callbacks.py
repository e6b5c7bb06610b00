"""Callbacks of Keras work with the trainer."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.losses import GammaContrastive, InfoNCE
from tests.helpers.backend import to_numpy
from tests.helpers.towers import pairs, towers


def trainer(loss, learning_rate=0.1):
    model = ContrastiveTrainer(towers())
    model.compile(keras.optimizers.SGD(learning_rate), loss)
    return model


def test_model_checkpoint_saves_a_model_that_can_be_loaded(tmp_path):
    path = str(tmp_path / "best.keras")
    model = trainer(GammaContrastive(num_items=24))
    model.fit(
        pairs(),
        epochs=2,
        verbose=0,
        callbacks=[keras.callbacks.ModelCheckpoint(path, monitor="loss")],
    )
    loaded = keras.models.load_model(path)
    for mine, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_early_stopping_monitors_the_validation_loss():
    model = trainer(InfoNCE(), learning_rate=0.0)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=2)
    history = model.fit(
        pairs(), epochs=9, verbose=0, validation_data=(pairs(seed=1), None), callbacks=[stop]
    )
    assert len(history.history["val_loss"]) == 3


def test_early_stopping_restores_the_best_weights():
    model = trainer(InfoNCE(), learning_rate=-0.5)
    stop = keras.callbacks.EarlyStopping(
        "loss", patience=1, restore_best_weights=True, start_from_epoch=0
    )
    losses = model.fit(pairs(), batch_size=24, epochs=9, verbose=0, callbacks=[stop]).history[
        "loss"
    ]
    assert losses[1] > losses[0]
    assert len(losses) == 2


def test_backup_and_restore_continues_an_interrupted_training(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    def run(epochs, *callbacks):
        model = trainer(GammaContrastive(draws=2, seed=1))
        model(pairs())  # the callback demands a model that is built
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
        try:
            model.fit(
                pairs(),
                batch_size=8,
                shuffle=False,
                epochs=epochs,
                verbose=0,
                callbacks=[*callbacks, backup],
            )
        except KeyboardInterrupt:
            return None
        return model

    assert run(4, Interrupt()) is None
    resumed = run(4)
    expected = trainer(GammaContrastive(draws=2, seed=1))
    expected.fit(pairs(), batch_size=8, shuffle=False, epochs=4, verbose=0)
    for mine, theirs in zip(resumed.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    rates = (to_numpy(model.loss.state.log_rates) for model in (resumed, expected))
    np.testing.assert_array_equal(*rates)  # those that all items share


def test_a_fit_after_an_interrupted_resumed_one_begins_with_its_own_epoch(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def interrupted(model):
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
        with pytest.raises(KeyboardInterrupt):
            model.fit(pairs(), epochs=4, callbacks=[backup, Interrupt()], verbose=0)

    interrupted(trainer(InfoNCE()))
    resumed = trainer(InfoNCE())
    interrupted(resumed)
    assert resumed.fit(pairs(), epochs=2, verbose=0).epoch == [0, 1]
