"""A trainer whose loss has state for each item."""

import keras
import numpy as np
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.losses import GammaContrastive
from tests.helpers.towers import pairs, towers

IDS = np.arange(24, dtype="int32")


def trainer(loss=None, learning_rate=0.1, **kwargs):
    """Returns a compiled trainer of two small towers."""
    model = ContrastiveTrainer(towers())
    model.compile(keras.optimizers.SGD(learning_rate), loss or stateful_loss(), **kwargs)
    return model


def stateful_loss(**kwargs):
    return GammaContrastive(**{"num_items": 24, "temperature": 0.5, "seed": 1} | kwargs)


def rates(model):
    """Returns the log-partition estimates of the items."""
    return ops.convert_to_numpy(model.loss.state.log_rates)[:-1]


def step(model):
    return int(ops.convert_to_numpy(model.loss.state.step))


def rows(count, x=None):
    return {name: array[:count] for name, array in (x or pairs()).items()}
