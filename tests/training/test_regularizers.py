"""Regularizers see the views by name, are reported, and are trained."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.losses import InfoNCE
from tests.towers import Directions, MeanSquare, Shift, pairs, settle, tower, towers


@keras.saving.register_keras_serializable(package="tests")
class Names(keras.layers.Layer):
    """Notes the names of the views, while the step is traced."""

    def penalty(self, views):
        self.seen = sorted(views)
        return 0.0


def trainer(regularizers, encoders=None, augmenters=None, learning_rate=0.1):
    model = ContrastiveTrainer(encoders or towers(), augmenters=augmenters, regularizers=regularizers)
    model.compile(keras.optimizers.SGD(learning_rate), InfoNCE(), run_eagerly=True)
    return model


def test_a_penalty_is_added_to_the_loss_and_reported_under_the_layers_name():
    x, encoders = pairs(), towers()
    model = trainer([MeanSquare(name="size")], encoders)
    embeddings = model.predict(x, verbose=0)
    size = np.mean(np.concatenate(list(embeddings.values()), axis=1) ** 2)
    contrast = float(ops.convert_to_numpy(InfoNCE()(None, embeddings)))
    logs = model.evaluate(x, verbose=0, return_dict=True)
    assert logs == pytest.approx({"loss": contrast + size, "size": size}, rel=1e-5)


def test_penalties_are_averaged_over_batches_and_reported_for_validation_too():
    model = trainer([MeanSquare(name="size")], learning_rate=0.0)
    history = model.fit(pairs(), batch_size=12, validation_data=(pairs(seed=1), None), verbose=0).history
    assert set(history) == {"loss", "size", "val_loss", "val_size"}
    assert history["size"][0] == pytest.approx(model.evaluate(pairs(), verbose=0, return_dict=True)["size"], rel=1e-4)


def test_two_regularizers_are_reported_apart():
    logs = trainer([MeanSquare(name="size"), Directions(name="directions")]).evaluate(
        pairs(), verbose=0, return_dict=True
    )
    assert set(logs) == {"loss", "size", "directions"}


def test_the_gradient_of_a_penalty_reaches_towers_and_its_own_weights():
    model = trainer([Directions(name="directions")])
    model(pairs())
    regularizer = model.regularizers[0]
    before = [ops.convert_to_numpy(weight).copy() for weight in regularizer.trainable_weights]
    first = model.fit(pairs(), verbose=0).history["directions"][0]
    last = model.fit(pairs(), epochs=5, verbose=0).history["directions"][-1]
    assert len(before) == 2
    for old, new in zip(before, regularizer.trainable_weights, strict=True):
        assert np.abs(ops.convert_to_numpy(new) - old).min() > 0
    assert last < first


def test_a_penalty_moves_the_embeddings():
    x, encoder = {"image": pairs()["image"], "again": pairs()["image"]}, settle(tower(6))
    sizes = []
    for regularizers in ([], [MeanSquare()]):
        model = trainer(regularizers, {"image": settle(encoder), "again": encoder})
        model.fit(x, epochs=3, verbose=0)
        sizes.append(np.square(model.predict(x, verbose=0)["image"]).mean())
    assert sizes[1] < 0.99 * sizes[0]


def test_regularizers_see_the_modalities_and_their_augmented_views():
    names = Names()
    trainer([names], augmenters={"text": Shift()}).evaluate(pairs(), verbose=0)
    assert names.seen == ["image", "text", "text_augmented"]


def test_regularizers_see_the_two_views_of_self_supervision():
    names = Names()
    trainer([names], settle(tower(6)), Shift()).evaluate(pairs()["image"], verbose=0)
    assert names.seen == ["view_1", "view_2"]


def test_regularizers_are_built_for_the_augmented_views_too():
    model = trainer([Directions()], augmenters={"text": Shift()})
    model(pairs())
    assert sorted(model.regularizers[0].directions) == ["image", "text", "text_augmented"]
