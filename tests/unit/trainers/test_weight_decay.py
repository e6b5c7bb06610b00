"""Weight decay: scalars of a loss stay out of it, everything else decays."""

from inspect import signature

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import LearnableBias, LearnableTemperature
from keras_contrastive.losses import InfoNCE, SigmoidContrastive
from tests.helpers.backend import apply_gradients, to_numpy
from tests.helpers.towers import pairs, towers

optimizers = keras.optimizers
# Keras 3.12 has one decay for both parts of Muon.
DECAYS = ("weight_decay", "adam_weight_decay")
DECAY_OF_MUON = {name: 0.5 for name in DECAYS if name in signature(optimizers.Muon).parameters}
OPTIMIZERS = {
    "AdamW": lambda: optimizers.AdamW(0.1, weight_decay=0.5),
    "SGD": lambda: optimizers.SGD(0.1, weight_decay=0.5),
    "Lion": lambda: optimizers.Lion(0.1, weight_decay=0.5),
    "Muon": lambda: optimizers.Muon(0.1, **DECAY_OF_MUON),
    "scaled AdamW": lambda: optimizers.LossScaleOptimizer(OPTIMIZERS["AdamW"]()),
    "scaled scaled SGD": lambda: optimizers.LossScaleOptimizer(
        optimizers.LossScaleOptimizer(OPTIMIZERS["SGD"]())
    ),
}


def compiled(loss, optimizer):
    model = ContrastiveTrainer(towers())
    model.compile(optimizer, loss, run_eagerly=True)
    return model


def decay(model):
    """Takes a step with gradients of zero. Returns the largest change of each weight by path."""
    variables = model.trainable_variables
    before = [to_numpy(variable).copy() for variable in variables]
    model.make_train_function()
    apply_gradients(model.optimizer, [ops.zeros(v.shape) for v in variables], variables)
    return {
        variable.path: float(np.max(np.abs(to_numpy(variable) - old)))
        for variable, old in zip(variables, before, strict=True)
    }


def check_only_towers_decay(model):
    changes = decay(model)
    scalars = [weight for layer in model.loss.layers for weight in layer.trainable_weights]
    assert [changes[weight.path] for weight in scalars] == [0] * len(scalars) != []
    kernels = [change for path, change in changes.items() if path.endswith("kernel")]
    assert len(kernels) == 4
    assert min(kernels) > 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_scalars_of_a_loss_do_not_decay(name):
    loss = SigmoidContrastive(LearnableTemperature(0.2), bias=LearnableBias(-3.0))
    check_only_towers_decay(compiled(loss, OPTIMIZERS[name]()))


def test_a_temperature_per_direction_does_not_decay():
    loss = InfoNCE(LearnableTemperature(0.2, per_direction=True))
    check_only_towers_decay(compiled(loss, "adamw"))


def test_scalars_do_not_decay_if_the_optimizer_is_compiled_again():
    optimizer = OPTIMIZERS["AdamW"]()
    model = compiled(InfoNCE(0.1), optimizer)
    model.compile(optimizer, InfoNCE(LearnableTemperature(0.2)), run_eagerly=True)
    check_only_towers_decay(model)
    model.compile(optimizer, model.loss, run_eagerly=True)  # the optimizer is built by now
    check_only_towers_decay(model)


def test_scalars_do_not_decay_after_a_restart(tmp_path):
    model = compiled(InfoNCE(LearnableTemperature(0.2)), OPTIMIZERS["scaled AdamW"]())
    model(pairs(8))
    model.save(tmp_path / "model.keras")
    check_only_towers_decay(keras.models.load_model(tmp_path / "model.keras"))


@pytest.mark.parametrize("after", [False, True])
def test_exclusions_of_the_user_are_kept(after):
    optimizer = OPTIMIZERS["SGD"]()
    if not after:
        optimizer.exclude_from_weight_decay(var_names=["kernel"])
    model = compiled(InfoNCE(LearnableTemperature(0.2)), optimizer)
    if after:
        optimizer.exclude_from_weight_decay(var_list=model.encoders["image"].trainable_weights)
    changes = decay(model)
    assert changes[model.loss.temperature.log_scale.path] == 0
    assert changes[model.encoders["image"].layers[0].kernel.path] == 0
    moved = model.encoders["text"].layers[0]
    assert changes[(moved.kernel if after else moved.bias).path] > 0


def test_matrices_of_a_loss_decay():
    class Projected(InfoNCE):
        head = keras.layers.Dense(2)

        @property
        def layers(self):
            return [*super().layers, self.head]

        def build(self, *arguments):
            super().build(*arguments)
            self.head.build((None, 4))

    model = compiled(Projected(LearnableTemperature(0.2)), OPTIMIZERS["SGD"]())
    changes = decay(model)
    assert changes[model.loss.head.kernel.path] > 0
    assert changes[model.loss.temperature.log_scale.path] == 0
