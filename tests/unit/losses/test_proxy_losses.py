"""ArcFace, CosFace and NormalizedSoftmax: values, gradients, wrong labels, training."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.config import set_tile_shape
from keras_contrastive.layers import ClassProxies, LearnableTemperature
from keras_contrastive.losses import ArcFace, CosFace, Matryoshka
from tests.contracts.loss_cases import PROXIES
from tests.helpers import normal
from tests.helpers.backend import (
    COMPILE_LEAST,
    FASTEST,
    largest_tensor,
    to_numpy,
    value_and_gradients,
)
from tests.helpers.towers import settle, tower
from tests.reference.classes import class_loss, proxy_nca
from tests.reference.differences import numeric_gradient

REFERENCES = {
    "ArcFace": functools.partial(class_loss, kind="angle", margin=0.5),
    "CosFace": functools.partial(class_loss, kind="cosine", margin=0.35),
    "NormalizedSoftmax": class_loss,
}
LABELS = np.array([2, 0, 2, 1, 3, 0])
VECTORS = normal(4, 3, seed=9)
each_loss = pytest.mark.parametrize("name", PROXIES)
both_tilings = pytest.mark.parametrize(
    "tiles", [None, (4, 3)], ids=["one tile", "tiles"], indirect=True
)


def ready(name, vectors=VECTORS, temperature=0.3, **kwargs):
    """A built loss with these class vectors."""
    loss = PROXIES[name](ClassProxies(*vectors.shape), temperature=temperature, **kwargs)
    loss.build()
    loss.proxies.vectors.assign(vectors)
    return loss


@both_tilings
@each_loss
def test_value_and_gradients_equal_the_reference(name, tiles):
    z = normal(6, 3)
    z[1] = 0.1 - VECTORS[0]  # an angle above pi - margin
    loss = ready(name, reduction="sum")

    def evaluate(z, vectors):
        return loss.stateless_call([vectors], [], LABELS, z, training=True)[0]

    value, found = value_and_gradients(evaluate, z, VECTORS, **FASTEST)
    reference = functools.partial(REFERENCES[name], temperature=0.3)
    assert value == pytest.approx(reference(z, LABELS, VECTORS).sum(), rel=1e-5)
    expected = numeric_gradient(lambda x: reference(x, LABELS, VECTORS).sum(), z)
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
    expected = numeric_gradient(lambda x: reference(z, LABELS, x).sum(), VECTORS)
    np.testing.assert_allclose(found[1], expected, atol=1e-4)


@each_loss
def test_views_weights_and_presence(name):
    a, b = normal(2, 6, 3)
    weights = np.linspace(0.5, 2, 6).astype("float32")
    present = np.array([True, False, True, True, False, True])
    values = [REFERENCES[name](z, LABELS, VECTORS, 0.3) for z in (a, b)]
    loss = ready(name)
    expected = np.mean((values[0] + values[1] * present) / 2 * weights)
    found = loss(LABELS, {"a": a, "b": b}, weights, training=True, present={"b": present})
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_softmax_with_half_the_temperature_is_proxy_nca():
    z = normal(6, 3)
    loss = ready("NormalizedSoftmax", temperature=1 / (2 * 3.0), reduction=None)
    expected = proxy_nca(z, LABELS, VECTORS, softmax_scale=3.0)
    np.testing.assert_allclose(to_numpy(loss(LABELS, z, training=False)), expected, rtol=1e-5)


@each_loss
def test_value_and_gradient_are_finite_for_degenerate_rows(name):
    z = np.stack([np.zeros(3), VECTORS[0], VECTORS[2], -VECTORS[1], 1e30 * VECTORS[3], [1, 0, 0]])
    loss = ready(name, temperature=0.01)

    def evaluate(z, vectors):
        return loss.stateless_call([vectors], [], LABELS, z, training=True)[0]

    for vectors in (VECTORS, np.zeros_like(VECTORS), np.ones_like(VECTORS)):
        value, found = value_and_gradients(evaluate, z.astype("float32"), vectors, **FASTEST)
        assert np.isfinite(value)
        assert all(np.all(np.isfinite(gradient)) for gradient in found)


def test_one_row_has_a_gradient_and_one_class_has_none():
    z = normal(1, 3)
    for loss, label in ((ready("ArcFace"), 2), (ready("ArcFace", VECTORS[:1]), 0)):
        value, (found,) = value_and_gradients(
            lambda z, loss=loss, label=label: loss(np.array([label]), z, training=True),
            z,
            **FASTEST,
        )
        has_gradient = loss.num_classes > 1
        assert (value > 0) == has_gradient
        assert np.any(found != 0) == has_gradient


def test_half_precision_embeddings_are_compared_in_float32():
    z = ops.cast(normal(6, 3), "float16")
    loss = ready("ArcFace", temperature=1 / 64)
    assert float(loss(LABELS, z, training=True)) == pytest.approx(
        float(loss(LABELS, ops.cast(z, "float32"), training=True)), rel=1e-6
    )


@pytest.mark.slow_to_compile
def test_no_loss_stores_the_logits():
    set_tile_shape((64, 32))
    loss = ready("ArcFace", normal(200, 4))
    labels = np.arange(300) % 200
    largest = largest_tensor(lambda z: loss(labels, z, training=True), normal(300, 4))
    assert largest <= 300 * (4 + 4)  # the logits would be 60,000


def test_labels_that_are_no_classes():
    loss, z = ready("ArcFace"), normal(6, 3)
    for labels in (LABELS + 1, (LABELS + 1).tolist()):
        with pytest.raises(
            ValueError,
            match=r"`y_true` must hold labels below `num_classes`.*num_classes=4, largest label 4",
        ):
            loss(labels, z, training=True)
    # A label that is on the device only.
    losses = loss.call(ops.convert_to_tensor(LABELS + 1, dtype="int32"), z, training=True)
    np.testing.assert_array_equal(np.isnan(to_numpy(losses)), LABELS + 1 == 4)


def test_wrong_arguments_raise():
    loss, z = ready("CosFace"), normal(6, 3)
    with pytest.raises(ValueError, match=r"y_true=None, y_pred\[0\] \(6, 3\).*in \[0, 4\)"):
        loss(None, [z, z], training=True)
    with pytest.raises(ValueError, match=r"Received: image \(6, 5\).*`ClassProxies\(4, dim=5\)`"):
        loss(LABELS, {"image": normal(6, 5)}, training=True)
    with pytest.raises(ValueError, match=r"takes no hard negatives.*Received: hard_negatives of 0"):
        loss(LABELS, z, training=True, hard_negatives={0: z})
    with pytest.raises(ValueError, match=r"plain `keras.Model` neither trains"):
        loss(LABELS, z)
    with pytest.raises(TypeError, match=r"`proxies` must be .*Received: proxies=4"):
        ArcFace(4)
    with pytest.raises(ValueError, match="class vectors have one size"):
        Matryoshka(loss, (2, 3))
    for make, margin in ((ArcFace, 28.6), (ArcFace, 0.0), (CosFace, -0.1)):
        with pytest.raises(ValueError, match=r"`margin` must be .*Received: margin="):
            make(ClassProxies(2, 2), margin=margin)


@each_loss
def test_configuration_survives_a_round_trip(name):
    margin = {} if name == "NormalizedSoftmax" else {"margin": 0.2}
    loss = PROXIES[name](
        ClassProxies(4, 3), temperature=0.3, reduction="sum", name="mine", **margin
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    assert (again.num_classes, again.proxies.dim, again.temperature) == (4, 3, 0.3)
    assert repr(again).startswith(f"{name}(proxies=ClassProxies(4, dim=3), ")


def data(rows=24):
    labels = np.arange(rows, dtype="int32") % 4
    x = 0.3 * normal(rows, 6) + np.eye(6, dtype="float32")[labels]
    return {"image": x}, labels


def trainer():
    model = ContrastiveTrainer({"image": settle(tower(6, dim=3))})
    loss = ArcFace(ClassProxies(4, 3), margin=0.2, temperature=LearnableTemperature(0.2))
    model.compile(keras.optimizers.AdamW(0.05, weight_decay=0.1), loss=loss, **COMPILE_LEAST)
    loss.proxies.vectors.assign(VECTORS)
    return model


@pytest.mark.slow_to_compile
def test_trains_is_saved_and_classifies(tmp_path):
    model, (x, labels) = trainer(), data()
    history = model.fit(x, labels, batch_size=24, epochs=20, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    assert any(weight is model.loss.proxies.vectors for weight in model.trainable_variables)
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    count = sum(weight.size for weight in map(to_numpy, model.trainable_variables))
    assert f"Trainable params: {count} " in "".join(lines)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        to_numpy(again.loss.proxies.vectors), to_numpy(model.loss.proxies.vectors)
    )
    cosines = to_numpy(again.loss.proxies(again.predict(x, verbose=0)["image"]))
    assert np.mean(cosines.argmax(axis=1) == labels) > 0.8
    # A step after loading equals a step without it.
    for trained in (model, again):
        trained.train_on_batch(x, labels)
    np.testing.assert_allclose(
        to_numpy(again.loss.proxies.vectors), to_numpy(model.loss.proxies.vectors), rtol=1e-5
    )


def test_the_trainer_checks_labels_before_it_trains(recwarn):
    model, (x, labels) = trainer(), data()
    before = to_numpy(model.loss.proxies.vectors).copy()
    wrong = r"`y` must hold labels below `num_classes`.*num_classes=4, largest label 4"
    with pytest.raises(ValueError, match=wrong):
        model.fit(x, labels + 1, verbose=0)
    with pytest.raises(ValueError, match=rf"In `validation_data`: {wrong}"):
        model.fit(x, labels, validation_data=(x, labels + 1), verbose=0)
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="`y` must hold a label for each row"):
            call(x, verbose=0)
    with pytest.raises(ValueError, match="num_classes=4"):
        model.train_on_batch(x)
    np.testing.assert_array_equal(to_numpy(model.loss.proxies.vectors), before)
    assert not [warning for warning in recwarn if "keras_contrastive" in str(warning.filename)]
