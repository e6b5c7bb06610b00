"""Micro-batches of the encoders do not change the loss of the whole batch."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import GeometricConsistency
from keras_contrastive.losses import GammaContrastive, InfoNCE, NTXent
from tests.helpers.backend import COMPILE_MOST
from tests.helpers.towers import Shift, pairs, settle, tower, towers


def trained(
    micro_batch_size, encoders=None, x=None, epochs=3, compiled=None, loss=InfoNCE, **kwargs
):
    model = ContrastiveTrainer(encoders or towers(), micro_batch_size=micro_batch_size, **kwargs)
    model.compile(keras.optimizers.SGD(0.1), loss(0.5), **(compiled or {}))
    history = model.fit(x or pairs(), batch_size=16, epochs=epochs, shuffle=False, verbose=0)
    return model, history.history["loss"]


def weights(model):
    return [ops.convert_to_numpy(weight) for weight in model.trainable_weights]


@pytest.fixture(scope="module")
def plain():
    return trained(None)


@pytest.mark.parametrize("size", [3, 16, pytest.param(1, marks=pytest.mark.full)])
def test_micro_batches_do_not_change_loss_and_weights(size, plain):
    (reference, expected), (model, losses) = plain, trained(size)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for found, weight in zip(weights(model), weights(reference), strict=True):
        np.testing.assert_allclose(found, weight, atol=1e-5)


@pytest.mark.slow_to_compile
def test_micro_batches_do_not_change_the_shared_estimate():
    whole, parts = (trained(size, loss=GammaContrastive)[0].loss.state for size in (None, 3))
    rates = ops.convert_to_numpy(whole.log_rates)
    assert np.all(np.isfinite(rates))
    np.testing.assert_allclose(ops.convert_to_numpy(parts.log_rates), rates, rtol=1e-5)


@pytest.mark.slow_to_compile
def test_augmented_views_and_regularizers_see_the_whole_batch():
    parts = {
        "augmenters": {"image": Shift(0.1)},
        "regularizers": [GeometricConsistency(weight=0.1)],
    }
    np.testing.assert_allclose(trained(5, **parts)[1], trained(None, **parts)[1], rtol=1e-5)


@pytest.mark.traced
@pytest.mark.slow_to_compile
def test_micro_batches_can_be_compiled(plain):
    np.testing.assert_allclose(trained(4, compiled=COMPILE_MOST)[1], plain[1], rtol=1e-4)


@pytest.mark.slow_to_compile
def test_micro_batches_work_with_one_encoder():
    def losses(size):
        model = ContrastiveTrainer(settle(tower(6)), Shift(0.3), micro_batch_size=size)
        model.compile(keras.optimizers.SGD(0.1), NTXent(0.5))
        return model.fit(
            pairs()["image"], batch_size=16, epochs=2, shuffle=False, verbose=0
        ).history["loss"]

    np.testing.assert_allclose(losses(5), losses(None), rtol=1e-5)


@pytest.mark.slow_to_compile
def test_inputs_can_be_structures():
    def encoders():
        ids, mask = keras.Input((5,), name="ids"), keras.Input((5,), name="mask")
        text = keras.Model({"ids": ids, "mask": mask}, settle(tower(5), 1)(ids * mask))
        return {"image": towers()["image"], "text": text}

    x = pairs()
    x = {"image": x["image"], "text": {"ids": x["text"], "mask": np.ones_like(x["text"])}}
    np.testing.assert_allclose(
        trained(5, encoders(), x)[1], trained(None, encoders(), x)[1], rtol=1e-5
    )


def with_state(*layers):
    image = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(4)])
    return {"image": settle(image), "text": towers()["text"]}


def test_batch_normalization_is_updated_by_each_micro_batch():
    normalize = keras.layers.BatchNormalization(momentum=0.5)
    x = {name: rows[:16] for name, rows in pairs().items()}
    trained(8, with_state(normalize), x, epochs=1)
    mean = np.zeros(6)
    for chunk in (x["image"][:8], x["image"][8:]):
        mean = 0.5 * mean + 0.5 * chunk.mean(axis=0)
    np.testing.assert_allclose(ops.convert_to_numpy(normalize.moving_mean), mean, atol=1e-5)


def test_dropout_differs_between_micro_batches_and_not_in_the_backward_pass():
    class Record(keras.layers.Layer):
        """Returns its inputs and stores which of them are not zero."""

        def build(self, shape):
            self.seen = self.add_weight(
                name="seen", shape=(2, 64), initializer="zeros", trainable=False
            )
            self.calls = self.add_weight(
                name="calls", shape=(), dtype="int32", initializer="zeros", trainable=False
            )

        def call(self, x):
            place = ops.stack([self.calls % 2])
            row = ops.cast(ops.reshape(x[0] != 0, (1, 64)), "float32")
            self.seen.assign(ops.scatter_update(self.seen, ops.reshape(place, (1, 1)), row))
            self.calls.assign(self.calls + 1)
            return x

    record = Record()
    image = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dropout(0.5, seed=3), record, keras.layers.Dense(4)]
    )
    x = {"image": np.ones((16, 64), "float32"), "text": pairs(16)["text"]}
    trained(8, {"image": settle(image), "text": towers()["text"]}, x, epochs=1)
    assert (
        int(ops.convert_to_numpy(record.calls)) == 2
    )  # two chunks, and none of the second computations
    first, second = ops.convert_to_numpy(record.seen)
    assert 10 < first.sum() < 54
    assert (first != second).any()


def test_gradient_uses_the_dropout_mask_of_the_forward_pass():
    # With another mask in the backward pass, weights of dropped units would change.
    drop = keras.layers.Dropout(0.5, seed=3)
    first = keras.layers.Dense(32, use_bias=False)
    image = keras.Sequential([keras.Input((32,)), drop, first, keras.layers.Dense(4)])
    x = {"image": np.eye(32, dtype="float32")[:16], "text": pairs(16)["text"]}
    before = ops.convert_to_numpy(first.kernel).copy()
    trained(4, {"image": image, "text": towers()["text"]}, x, epochs=1)
    moved = np.abs(ops.convert_to_numpy(first.kernel) - before).sum(axis=1) > 0
    assert (
        2 <= moved[:16].sum() <= 14
    )  # row i of the kernel moves only if unit i of item i was kept
    assert not moved[16:].any()


@pytest.mark.slow_to_compile
def test_activity_losses_are_kept():
    class Activity(keras.layers.Layer):
        """Adds a mean over the rows. `ActivityRegularization` adds a sum up to Keras 3.12."""

        def call(self, x):
            self.add_loss(0.3 * ops.mean(ops.square(x)))
            return x

    def encoders():
        return with_state(Activity(), keras.layers.Dense(6, kernel_regularizer="l2"))

    (plain, expected), (model, losses) = (
        trained(None, encoders(), epochs=1),
        trained(8, encoders(), epochs=1),
    )
    without = trained(8, with_state(keras.layers.Dense(6)), epochs=1)[1]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert losses[0] > without[0] + 0.05
    for found, weight in zip(weights(model), weights(plain), strict=True):
        np.testing.assert_allclose(found, weight, atol=1e-4)


def test_micro_batch_size_is_in_the_config():
    model = trained(4, epochs=1)[0]
    assert ContrastiveTrainer.from_config(model.get_config()).micro_batch_size == 4


def test_frozen_layers_do_not_change():
    def encoders():
        image = settle(
            keras.Sequential(
                [keras.Input((6,)), keras.layers.BatchNormalization(), keras.layers.Dense(4)]
            )
        )
        image.layers[0].trainable = False
        return {"image": image, "text": towers()["text"]}

    (plain, expected), (model, losses) = (
        trained(None, encoders(), epochs=2),
        trained(8, encoders(), epochs=2),
    )
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for a, b in zip(
        model.encoders["image"].get_weights(), plain.encoders["image"].get_weights(), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
