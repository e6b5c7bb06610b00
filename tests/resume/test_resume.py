"""An interrupted and resumed run equals an uninterrupted one."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import BrownianBridge, EmbeddingQueue, LearnableTemperature
from keras_contrastive.losses import GammaContrastive
from tests.helpers.backend import COMPILE_LEAST
from tests.helpers.towers import pairs, tower, towers


class CutError(Exception):
    pass


def cut_after(epoch, batch):
    """Returns a callback that interrupts the run in the middle of an epoch."""
    now = {}

    def begin(number, logs):
        now["epoch"] = number

    def end(number, logs):
        if (now["epoch"], number) == (epoch, batch):
            raise CutError

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_train_batch_end=end)


def trainer():
    """Returns a trainer with everything that draws or has state."""
    keras.utils.set_random_seed(7)
    drop = keras.layers.Dropout(0.3)
    image = keras.Sequential(
        [keras.Input((6,)), drop, keras.layers.Dense(8, "tanh"), keras.layers.Dense(4)]
    )
    model = ContrastiveTrainer(
        {"image": image, "text": tower(5)},
        augmenters={"image": keras.layers.GaussianNoise(0.1)},
        regularizers=[BrownianBridge(t=(0.2, 0.8), weight=0.1)],
    )
    loss = GammaContrastive(
        LearnableTemperature(0.5), num_items=24, draws=2, memory=EmbeddingQueue(10, 4)
    )
    # `test_killed_process.py` resumes a run that XLA compiled on TensorFlow.
    model.compile(keras.optimizers.Adam(0.01), loss, **COMPILE_LEAST)
    return model


def state(model):
    return [ops.convert_to_numpy(v) for v in (*model.variables, *model.optimizer.variables)]


def train(model, callbacks=(), epochs=5, **kwargs):
    model.fit(pairs(), batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), **kwargs)
    return state(model)


def assert_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    backup = keras.callbacks.BackupAndRestore(tmp_path_factory.mktemp("whole") / "backup")
    return train(trainer(), [backup])


@pytest.mark.traced
@pytest.mark.parametrize(
    ("save_freq", "cut"), [("epoch", (2, 1)), (1, (1, 0)), (2, (2, 1)), (3, (3, 2))]
)
def test_interrupted_run_equals_uninterrupted_run(tmp_path, uninterrupted, save_freq, cut):
    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=save_freq)

    with pytest.raises(CutError):
        train(trainer(), [backup(), cut_after(*cut)])
    steps = []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(batch)
    )
    found = train(trainer(), [backup(), count])
    assert len(steps) < 15 - 3 * cut[0] + 1  # not from the beginning
    assert_same(found, uninterrupted)


@pytest.mark.parametrize("order", [{"shuffle": False}, {"steps_per_epoch": 2}])
def test_a_run_with_an_order_of_the_user_is_resumed_as_well(tmp_path, order):
    def backup(folder):
        return keras.callbacks.BackupAndRestore(tmp_path / folder, save_freq=1)

    expected = train(trainer(), [backup("whole")], **order)
    with pytest.raises(CutError):
        train(trainer(), [backup("cut"), cut_after(2, 0)], **order)
    assert_same(train(trainer(), [backup("cut")], **order), expected)


def test_saved_model_continues_its_random_state(tmp_path):
    expected = train(trainer())
    model = trainer()
    train(model, epochs=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    keras.utils.set_random_seed(99)  # has no influence
    assert_same(train(loaded, initial_epoch=2), expected)


def test_second_fit_is_not_a_resumed_fit():
    model = ContrastiveTrainer(towers())
    model.compile(keras.optimizers.SGD(0.0), GammaContrastive(num_items=24, temperature=0.5))
    first, second = (
        model.fit(pairs(), batch_size=8, epochs=3, verbose=0).history["loss"] for _ in range(2)
    )
    assert len(second) == 3
    assert not np.allclose(first, second)  # the order of the rows differs


def test_order_of_rows_differs_between_epochs():
    model = ContrastiveTrainer(towers())
    model.compile(keras.optimizers.SGD(0.0), GammaContrastive(num_items=24, temperature=0.5))
    losses = model.fit(pairs(), batch_size=8, epochs=3, verbose=0).history["loss"]
    assert len({round(loss, 5) for loss in losses}) == 3


@pytest.mark.traced
def test_short_resumed_epoch_gives_no_warning(tmp_path, recwarn):
    backup = keras.callbacks.BackupAndRestore(tmp_path, save_freq=1)
    with pytest.raises(CutError):
        train(trainer(), [backup, cut_after(1, 1)])
    train(trainer(), [keras.callbacks.BackupAndRestore(tmp_path, save_freq=1)])
    assert not [warning for warning in recwarn if "ran out of data" in str(warning.message)]


# The other model has not been trained, so its optimizer and its layers have no state yet.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
@pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer")
def test_model_built_from_shapes_loads_the_weights(tmp_path):
    model, other = trainer(), trainer()
    train(model, epochs=1)
    model.save_weights(tmp_path / "model.weights.h5")
    other.build({"image": (None, 6), "text": (None, 5)})
    other.load_weights(tmp_path / "model.weights.h5")
    found, expected = ([*each.encoders.values(), *each.loss.layers] for each in (other, model))
    assert_same(
        *(
            [weight for part in parts for weight in part.get_weights()]
            for parts in (found, expected)
        )
    )


def test_validation_split_takes_the_last_rows():
    model = ContrastiveTrainer(towers())
    model.compile(keras.optimizers.SGD(0.0), GammaContrastive(num_items=24, temperature=0.5))
    history = model.fit(
        pairs(), np.arange(24), batch_size=8, validation_split=0.25, verbose=0
    ).history
    last = {name: rows[18:] for name, rows in pairs().items()}
    assert history["val_loss"][0] == pytest.approx(
        model.evaluate(last, batch_size=8, verbose=0), rel=1e-5
    )
