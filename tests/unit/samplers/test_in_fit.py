"""ClassBalanced in `fit`: the order of its batches, after a resume and with workers too."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.evaluation import retrieval
from keras_contrastive.losses import SupCon
from keras_contrastive.samplers import ClassBalanced
from tests.helpers.backend import COMPILE_LEAST, to_numpy
from tests.helpers.towers import settle, tower


class CutError(Exception):
    pass


def cut_after(epoch, batch):
    def end(number, logs):
        if (now[-1], number) == (epoch, batch):
            raise CutError

    now = []
    begin = lambda number, logs: now.append(number)  # noqa: E731
    return keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_train_batch_end=end)


def balanced(**kwargs):
    """Returns four batches of 3 classes with 4 rows each, from 6 classes with 8 rows."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 8)
    x = generator.normal(size=(6, 6))[labels] + 0.3 * generator.normal(size=(48, 6))
    return ClassBalanced(x.astype("float32"), labels, 3, 4, **kwargs)


def trainer():
    model = ContrastiveTrainer(settle(tower(6)), keras.layers.Identity())
    model.compile(keras.optimizers.SGD(0.1), SupCon(0.5), **COMPILE_LEAST)
    return model


def plain_model():
    model = settle(tower(6))
    model.compile(keras.optimizers.SGD(0.1), SupCon(0.5), **COMPILE_LEAST)
    return model


def weights(model):
    return np.concatenate([to_numpy(weight).ravel() for weight in model.trainable_weights])


def after_each_epoch(model, batches, epochs=2):
    """Returns the weights after each epoch of steps on single batches."""
    found = []
    for epoch in range(epochs):
        batches.start_epoch(epoch)
        for x, labels in batches:
            model.train_on_batch(x, labels)
        found.append(weights(model))
    return np.array(found)


@pytest.fixture(scope="module")
def expected():
    return after_each_epoch(trainer(), balanced(seed=3))


@pytest.mark.parametrize("workers", [1, 3])
def test_trainer_gets_the_batches_of_each_epoch_in_order(expected, workers):
    model = trainer()
    model.fit(balanced(seed=3, workers=workers), epochs=2, verbose=0)
    np.testing.assert_allclose(weights(model), expected[-1], rtol=1e-4, atol=1e-6)


def test_plain_model_gets_them_if_a_callback_sets_the_epoch(expected):
    model, batches = plain_model(), balanced(seed=3)
    start = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: batches.start_epoch(epoch)
    )
    one_view = after_each_epoch(plain_model(), balanced(seed=3))
    model.fit(batches, epochs=1, shuffle=False, callbacks=[start], verbose=0)
    np.testing.assert_allclose(weights(model), one_view[0], rtol=1e-4, atol=1e-6)
    model.fit(batches, epochs=2, initial_epoch=1, shuffle=False, callbacks=[start], verbose=0)
    np.testing.assert_allclose(weights(model), one_view[1], rtol=1e-4, atol=1e-6)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("workers", [1, 3])
def test_interrupted_run_continues_in_the_middle_of_an_epoch(tmp_path, workers):
    def train(model, *callbacks):
        model.fit(balanced(workers=workers), epochs=3, verbose=0, callbacks=list(callbacks))
        return weights(model)

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=1)

    keras.utils.set_random_seed(7)
    uninterrupted = train(trainer())
    keras.utils.set_random_seed(7)
    with pytest.raises(CutError):
        train(trainer(), backup(), cut_after(1, 1))
    keras.utils.set_random_seed(99)  # has no influence
    steps = []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(batch)
    )
    np.testing.assert_array_equal(train(trainer(), backup(), count), uninterrupted)
    assert len(steps) == 2 + 4


@pytest.mark.slow_to_compile
def test_sup_con_on_balanced_batches_finds_rows_of_new_classes():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(60), 6)
    # The classes differ in four directions. The others are noise.
    centers = generator.normal(size=(60, 4)) @ np.eye(4, 16)
    x = centers[labels] + generator.normal(size=(360, 16)) * np.r_[np.full(4, 0.3), np.full(12, 2)]
    x, new = x.astype("float32"), labels >= 40
    encoder = keras.Sequential([keras.Input((16,)), keras.layers.Dense(4)])
    model = ContrastiveTrainer(encoder, keras.layers.Identity())
    model.compile(keras.optimizers.Adam(0.02), SupCon(0.1))

    def hit_rate(rows):
        measures = retrieval(rows, query_ids=labels[new], exclude_self=True, k=(1,))
        return measures["hit_rate_at_1"]

    before = hit_rate(x[new])
    model.fit(ClassBalanced(x[~new], labels[~new], 8, 3, seed=0), epochs=15, verbose=0)
    assert hit_rate(model.predict(x[new], verbose=0)) > before + 0.3
