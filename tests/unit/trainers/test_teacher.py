"""A momentum teacher makes the second views and the candidates of a trainer."""

import collections

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import EmbeddingQueue, MomentumTeacher
from keras_contrastive.losses import InfoNCE
from tests.helpers.backend import to_numpy
from tests.helpers.towers import Shift, pairs, settle, tower, towers
from tests.reference import moco


class Shifts(keras.layers.Layer):
    """Adds the next of several constants, so that each view of each step is another one."""

    def __init__(self, shifts, **kwargs):
        super().__init__(**kwargs)
        self.shifts = collections.deque(shifts)
        self.built = True

    def call(self, inputs, training=None):
        return inputs + self.shifts.popleft() if training else inputs


def test_moco_equals_the_numpy_reference(rng):
    """Value, gradient, momentum encoder and queue of three steps."""
    x = rng.normal(size=(6, 5)).astype("float32")
    shifts = rng.normal(size=(6, 5)).astype("float32")
    encoder = settle(keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, use_bias=False)]))
    kernel = to_numpy(encoder.weights[0])
    teacher = MomentumTeacher(0.7)
    model = ContrastiveTrainer(encoder, augmenters=Shifts(shifts), teacher=teacher)
    loss = InfoNCE(0.5, memory=EmbeddingQueue(10, dim=3))
    model.compile(keras.optimizers.SGD(0.5), loss, run_eagerly=True)
    model(x)
    losses = []
    for _ in range(3):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(x)))
    views = [(x + shifts[step], x + shifts[step + 1]) for step in (0, 2, 4)]
    expected, trained, slow = moco.train(kernel, views, 0.7, 0.5, 0.5, queue_size=10)
    # Losses and weights are float32 here, and float64 in the reference.
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_allclose(to_numpy(encoder.weights[0]), trained, atol=1e-5)
    np.testing.assert_allclose(to_numpy(teacher.averages[0]), slow, atol=1e-5)
    assert np.abs(trained - kernel).max() > 0.05
    assert set(model.direction_weights()) == {("view_1", "view_2")}


def test_candidates_of_towers_are_embeddings_of_the_teacher():
    x, encoders = pairs(), towers()
    model = ContrastiveTrainer(encoders, teacher=MomentumTeacher(0.9), in_modal_weight=0.25)
    model.compile(keras.optimizers.SGD(0.0), InfoNCE(), run_eagerly=True)
    model.train_on_batch(x)
    slow = {name: to_numpy(encoders[name](x[name])) for name in encoders}
    for encoder in encoders.values():
        for weight in encoder.trainable_weights:
            weight.assign(weight + 0.3)
    views = {name: to_numpy(encoders[name](x[name])) for name in encoders}

    def one_direction(anchor, candidate):
        loss = InfoNCE(symmetric=False)
        return float(ops.convert_to_numpy(loss(None, (views[anchor], slow[candidate]))))

    between = (one_direction("image", "text") + one_direction("text", "image")) / 2
    within = (one_direction("image", "image") + one_direction("text", "text")) / 2
    expected = 0.75 * between + 0.25 * within
    assert float(model.test_on_batch(x)) == pytest.approx(expected, rel=1e-5)


def test_one_modality_of_towers_is_compared_with_its_teacher():
    model = ContrastiveTrainer({"image": tower(6)}, teacher=MomentumTeacher())
    model.compile("sgd", InfoNCE())
    assert model.direction_weights() == {("image", "image_augmented"): 1.0}


def test_random_augmentations_advance_twice_per_step():
    augmenter = keras.layers.GaussianNoise(1.0, seed=3)
    model = ContrastiveTrainer(settle(tower(6)), augmenters=augmenter, teacher=MomentumTeacher())
    model.compile(keras.optimizers.SGD(0.0), InfoNCE(), run_eagerly=True)
    x = pairs()["image"]
    model(x)
    seeds = []
    for _ in range(2):
        seeds.append(to_numpy(augmenter.seed_generator.state)[1])
        model.train_on_batch(x)
    assert seeds[1] - seeds[0] == 2


def test_evaluation_does_not_move_the_teacher():
    model = ContrastiveTrainer(settle(tower(6)), augmenters=Shift(0.5), teacher=MomentumTeacher())
    model.compile(keras.optimizers.SGD(0.1), InfoNCE(), run_eagerly=True)
    x = pairs()["image"]
    model.train_on_batch(x)
    before = [to_numpy(average) for average in model.teacher.averages]
    model.evaluate(x, verbose=0)
    model.predict(x, verbose=0)
    for average, expected in zip(model.teacher.averages, before, strict=True):
        np.testing.assert_array_equal(to_numpy(average), expected)
    assert int(to_numpy(model.teacher.step)) == 1


def trained(epochs, micro_batch_size=None):
    teacher = MomentumTeacher(0.9, soft_targets=0.3, soft_target_steps=2)
    projectors = settle(tower(4, dim=3), seed=5)
    model = ContrastiveTrainer(
        settle(tower(6)),
        augmenters=Shift(0.5),
        projectors=projectors,
        teacher=teacher,
        micro_batch_size=micro_batch_size,
    )
    model.compile(keras.optimizers.SGD(0.1), InfoNCE(0.5, memory=EmbeddingQueue(20, dim=3)))
    return continued(model, epochs)


def continued(model, epochs):
    x = pairs()["image"]
    history = model.fit(x, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model, history.history["loss"]


def test_a_saved_teacher_continues_training(tmp_path):
    _, expected = trained(2)
    model, first = trained(1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for average, original in zip(loaded.teacher.averages, model.teacher.averages, strict=True):
        np.testing.assert_array_equal(to_numpy(average), to_numpy(original))
    assert loaded.teacher.get_config() == model.teacher.get_config()
    _, second = continued(loaded, 1)
    np.testing.assert_allclose(first + second, expected, rtol=1e-5)


def test_micro_batches_do_not_change_the_loss():
    np.testing.assert_allclose(trained(2, micro_batch_size=3)[1], trained(2)[1], rtol=1e-4)
