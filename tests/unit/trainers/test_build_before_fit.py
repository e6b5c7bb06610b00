"""A step of `fit` is traced once: all variables exist before."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer, augmentation
from keras_contrastive.layers import DeepFeatureSeparation
from keras_contrastive.losses import InfoNCE
from keras_contrastive.metrics import EffectiveRank, RecallAtK
from tests.helpers.towers import pairs


class Counting(keras.layers.Dense):
    """Counts its calls in training."""

    calls = 0

    def call(self, inputs, training=None):
        self.calls += bool(training)
        return super().call(inputs)


def parts(name, counting):
    if name == "one encoder":
        images = np.random.default_rng(0).uniform(0, 255, size=(16, 4, 4, 3)).astype("float32")
        encoder = keras.Sequential([keras.layers.Flatten(), counting])
        return images, (encoder, augmentation.SimCLRImageAugmenter(seed=0))
    return pairs(16), ({"image": counting, "text": keras.layers.Dense(4)},)


@pytest.mark.traced
@pytest.mark.parametrize("name", ["towers", "one encoder", "regularizer"])
def test_an_encoder_that_is_not_built_is_called_once_for_each_view_of_a_step(name):
    counting = Counting(4)
    x, arguments = parts(name, counting)
    separation = [DeepFeatureSeparation(contrast=0.0)] if name == "regularizer" else ()
    model = ContrastiveTrainer(*arguments, regularizers=separation)
    model.compile("adam", InfoNCE(), metrics=[RecallAtK(1), EffectiveRank()])
    model.fit(x, batch_size=16, verbose=0)
    assert counting.calls == (2 if name == "one encoder" else 1)
    assert int(model.optimizer.iterations) == 1
