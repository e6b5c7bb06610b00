"""An evaluation draws from its own fixed stream, and has no influence on training."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive import augmentation as aug
from keras_contrastive.fusion import ImageTextMatching, MaskedLanguage
from keras_contrastive.layers import MomentumTeacher
from keras_contrastive.losses import InfoNCE
from tests.helpers import fusion_trainers
from tests.helpers.backend import to_numpy
from tests.helpers.towers import settle

SHAPE = (6, 6, 3)


@keras.saving.register_keras_serializable(package="tests")
class Noise(keras.layers.Layer):
    """Draws with a `SeedGenerator`, and counts its calls in a weight."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(5)
        self.calls = self.add_weight(shape=(), dtype="int32", trainable=False, initializer="zeros")

    def call(self, inputs, training=None):
        if not training:
            return inputs
        self.calls.assign(self.calls + 1)
        return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.seeds)


layers = keras.layers
AUGMENTERS = {
    "ours": lambda: aug.SimCLRImageAugmenter(seed=1, value_range=(0, 1)),
    "Keras": lambda: layers.GaussianNoise(0.5, seed=1),
    "unseeded dropout": lambda: layers.Dropout(0.5),
    "Keras, images": lambda: layers.RandomTranslation(0.3, 0.3, seed=1),
    "several": lambda: keras.Sequential(
        [aug.RandomFlip(seed=1), layers.RandomBrightness(0.5, (0, 1), seed=2), Noise()]
    ),
    "functional": lambda: _functional(),
    "of the user": Noise,
}


def _functional():
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, layers.Dropout(0.5, seed=1)(aug.RandomResizedCrop(seed=2)(inputs)))


def encoder():
    flat = [keras.Input(SHAPE), layers.Flatten(), layers.Dense(4)]
    return settle(keras.Sequential(flat, name="encoder"))


def one_encoder(augmenter, **kwargs):
    return ContrastiveTrainer(encoder(), augmenters=augmenter, **kwargs)


def two_towers(augmenter, **kwargs):
    encoders = {"image": encoder(), "other": encoder()}
    return ContrastiveTrainer(encoders, augmenters={"image": augmenter}, **kwargs)


def with_teacher(augmenter):
    return one_encoder(augmenter, teacher=MomentumTeacher())


def compiled(make, augmenter):
    model = make(AUGMENTERS[augmenter]())
    model.compile(keras.optimizers.SGD(0.05), InfoNCE(0.5), run_eagerly=True)
    return model


def data(model):
    x = np.random.default_rng(0).uniform(size=(12, *SHAPE)).astype("float32")
    return {"image": x, "other": x[:, ::-1]} if model.has_towers else x


CASES = [
    *((one_encoder, name) for name in AUGMENTERS),
    *((two_towers, name) for name in ("ours", "several")),
    (with_teacher, "several"),
]


@pytest.mark.parametrize(("make", "augmenter"), CASES)
def test_training_does_not_depend_on_evaluations(make, augmenter):
    weights = []
    for validates in (False, True):
        keras.utils.set_random_seed(0)
        model = compiled(make, augmenter)
        x = data(model)
        if validates:
            model.predict(x, verbose=0)
            model.evaluate(x, verbose=0)
        model.fit(
            x, batch_size=6, epochs=2, verbose=0, validation_data=(x, None) if validates else None
        )
        weights.append([to_numpy(variable) for variable in model.variables])
    metrics = {id(variable) for variable in model.metrics_variables}
    compared = [id(variable) not in metrics for variable in model.variables]
    assert sum(compared) > 2
    for one, other, is_compared in zip(*weights, compared, strict=True):
        if is_compared:
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("make", "augmenter"), CASES)
def test_an_evaluation_gives_the_same_value_each_time(make, augmenter):
    model = compiled(make, augmenter)
    x = data(model)
    first = model.evaluate(x, verbose=0)
    assert model.evaluate(x, verbose=0) == first
    weights = model.encoders["image"] if model.has_towers else model.encoders
    before = weights.get_weights()
    model.fit(x, verbose=0)
    weights.set_weights(before)
    if model.teacher is None:
        # Also after training.
        assert model.evaluate(x, verbose=0) == first or model.has_towers


def test_draws_of_an_evaluation_are_random_and_those_of_no_training_step():
    model = compiled(one_encoder, "ours")
    x = data(model)
    model(x)
    views = [to_numpy(model.augment("view_1", x, training=False)) for _ in range(2)]
    views += [to_numpy(model.augment("view_1", x)) for _ in range(2)]
    np.testing.assert_array_equal(views[0], views[1])
    for one, other in ((views[0], x), (views[0], views[2]), (views[0], views[3]), views[2:]):
        assert np.abs(one - other).max() > 0.05


@pytest.mark.slow_to_compile
def test_a_fusion_trainer_evaluates_with_fixed_draws():
    model = fusion_trainers.fusion_trainer(
        matching=ImageTextMatching(seed=7), masked_language=MaskedLanguage(16, 3, (1, 2), seed=3)
    )
    x = fusion_trainers.data()
    first = model.evaluate(x, verbose=0, return_dict=True)
    before = model.get_weights()
    model.fit(x, verbose=0)
    state = {
        id(weight): weight
        for layer in (model.matching, model.masked_language.corruption)
        for weight in layer.non_trainable_weights
    }
    kept = [to_numpy(weight).copy() for weight in state.values()]
    model.set_weights(before)
    for weight, value in zip(state.values(), kept, strict=True):
        weight.assign(value)
    assert kept
    assert min(kept) > 0
    assert model.evaluate(x, verbose=0, return_dict=True) == pytest.approx(first, rel=1e-6)
