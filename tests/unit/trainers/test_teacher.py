"""A momentum teacher makes the second views and the candidates of a trainer."""

import collections

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import (
    BrownianBridge,
    DeepFeatureSeparation,
    EmbeddingQueue,
    GeometricConsistency,
    MomentumTeacher,
)
from keras_contrastive.losses import DecoupledContrastive, GammaContrastive, InfoNCE, NTXent
from tests.helpers.backend import to_numpy
from tests.helpers.towers import Shift, pairs, settle, tower, towers
from tests.reference import moco
from tests.reference.fusion import soft_contrast


class Shifts(keras.layers.Layer):
    """Adds the next of several constants, so that each view of each step is another one."""

    def __init__(self, shifts, **kwargs):
        super().__init__(**kwargs)
        self.shifts = collections.deque(shifts)
        self.built = True

    def call(self, inputs, training=None):
        return inputs + ops.convert_to_tensor(self.shifts.popleft()) if training else inputs


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
    model.reset_metrics()  # Keras 3.12 averages over steps
    assert float(model.test_on_batch(x)) == pytest.approx(expected, rel=1e-5)


def slow_embeddings(model, x):
    with model.teacher.in_place():
        return {name: moco.unit(to_numpy(model(x)[name])) for name in model.modalities}


@pytest.mark.slow_to_compile
def test_towers_with_soft_targets_and_queue_equal_albef():
    """Li et al. (2021), Eq. 6, in three steps: fraction of the targets, queue, and its order."""
    x, queue = pairs(), EmbeddingQueue(40, 4)
    teacher = MomentumTeacher(0.9, soft_targets=0.4, soft_target_steps=4)
    model = ContrastiveTrainer(towers(), teacher=teacher, in_modal_weight=0.0)
    loss = InfoNCE(0.2, memory=queue)
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    queued = np.zeros((0, 2, 4))
    for number in range(3):
        before = {name: moco.unit(to_numpy(rows)) for name, rows in model(x).items()}
        model.reset_metrics()
        value = float(model.train_on_batch(x))
        slow = slow_embeddings(model, x)
        queue_ids, fraction = np.full(len(queued), -1), 0.4 * number / 4
        directions = [
            soft_contrast(
                before[a],
                slow[a],
                slow[b],
                np.arange(24),
                queued[:, place],
                queue_ids,
                fraction,
                0.2,
            )
            for place, (a, b) in enumerate((("image", "text"), ("text", "image")))
        ]
        assert value == pytest.approx(np.mean(directions), rel=1e-4)
        newest = np.stack([slow["text"], slow["image"]], axis=1)
        queued = np.concatenate([queued, newest])[-40:]
    # The views of the queue are image, text, and then those of the teacher.
    stored = to_numpy(queue.embeddings)[:, [3, 2]]
    for row, position in enumerate(range(3 * 24 - 40, 3 * 24)):
        np.testing.assert_allclose(stored[position % 40], queued[row], atol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        GammaContrastive(0.2, num_items=24, seed=1),
        NTXent(0.2),
        DecoupledContrastive(0.2, memory=EmbeddingQueue(20, 4)),
    ],
    ids=lambda loss: loss.name,
)
def test_any_loss_works_with_a_teacher(loss):
    model = ContrastiveTrainer(towers(), teacher=MomentumTeacher(0.9), in_modal_weight=0.0)
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    ids, losses = np.arange(24, dtype="int32"), []
    for _ in range(6):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(pairs(), ids)))
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def with_regularizers(*regularizers, learning_rate=0.0):
    teacher = MomentumTeacher(0.9)
    model = ContrastiveTrainer(towers(), regularizers=regularizers, teacher=teacher)
    model.compile(keras.optimizers.SGD(learning_rate), InfoNCE(), run_eagerly=True)
    return model


def test_regularizers_get_the_teachers_views_as_augmented_views(rng):
    bridge, consistency = BrownianBridge(modalities="image"), GeometricConsistency()
    model, x = with_regularizers(bridge, consistency), pairs()
    model.train_on_batch(x)
    for weight in model.encoders["image"].trainable_weights:
        weight.assign(weight + rng.normal(size=weight.shape, scale=0.2))
    views = {name: to_numpy(rows) for name, rows in model(x).items()}
    with model.teacher.in_place():
        views |= {f"{name}_augmented": to_numpy(rows) for name, rows in model(x).items()}
    views = {name: ops.convert_to_tensor(rows) for name, rows in views.items()}
    logs = model.evaluate(x, batch_size=24, verbose=0, return_dict=True)
    for layer in (bridge, consistency):
        assert logs[layer.name] == pytest.approx(float(layer.penalty(views)), rel=1e-4)


@keras.saving.register_keras_serializable(package="tests")
class PenaltyOnSecondViews(DeepFeatureSeparation):
    """A penalty that depends only on the second views and their independent features."""

    def terms(self, modalities, ids=None, training=None):
        parts = [part for m in modalities for part in (m.augmented, m.independent_augmented)]
        return dict.fromkeys(self.term_weights, ops.sum(ops.square(ops.concatenate(parts) - 1.0)))


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # the promise of this test
def test_no_gradient_reaches_second_views_of_a_regularizer():
    model = with_regularizers(PenaltyOnSecondViews(name="second"), learning_rate=0.1)
    model.contrast_weight = 1e-30  # PyTorch requires some gradient
    model(pairs())
    before = [to_numpy(weight).copy() for weight in model.trainable_weights]
    logs = model.train_on_batch(pairs(), return_dict=True)
    assert logs["second"] > 1
    for weight, expected in zip(model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(to_numpy(weight), expected)


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
    loss = InfoNCE(0.5, memory=EmbeddingQueue(20, dim=3))
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    return continued(model, epochs)


def continued(model, epochs):
    x = pairs()["image"]
    history = model.fit(x, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model, history.history["loss"]


@pytest.mark.slow_to_compile
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


@pytest.mark.slow_to_compile
def test_micro_batches_do_not_change_the_loss():
    np.testing.assert_allclose(trained(2, micro_batch_size=3)[1], trained(2)[1], rtol=1e-4)
