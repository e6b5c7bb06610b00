"""Predictors in the trainer: BYOL, SimSiam and MoCo v3."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import ClassProxies, EmbeddingQueue, MomentumTeacher
from keras_contrastive.losses import (
    ArcFace,
    DecoupledContrastive,
    GammaContrastive,
    InfoNCE,
    Matryoshka,
    NegativeCosine,
    NTXent,
    SupCon,
    VICReg,
)
from keras_contrastive.metrics import EffectiveRank
from tests.helpers.backend import COMPILE_LEAST, to_numpy
from tests.helpers.towers import Shift, pairs, settle, tower, towers
from tests.reference import predictors as reference
from tests.unit.trainers.test_teacher import Shifts

METHODS = {  # momentum of the teacher, loss, and the reference of the loss
    "BYOL": (0.7, NegativeCosine, reference.negative_cosine),
    "SimSiam": (None, NegativeCosine, reference.negative_cosine),
    "MoCo v3": (0.7, lambda: InfoNCE(0.5), reference.info_nce),
}


def linear(inputs, outputs, seed=0):
    layer = keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(outputs, use_bias=False)])
    return settle(layer, seed)


def teacher(momentum=0.7):
    return None if momentum is None else MomentumTeacher(momentum)


def byol(momentum=0.7, **kwargs):
    return ContrastiveTrainer(
        settle(tower(6)),
        augmenters=Shift(0.5),
        projectors=linear(4, 3, 1),
        predictors=settle(tower(3, dim=3), 2),
        teacher=teacher(momentum),
        **kwargs,
    )


@pytest.mark.parametrize("method", METHODS)
def test_steps_equal_the_numpy_reference(method, rng):
    """Value, gradient and momentum encoder of three steps."""
    momentum, loss, contrast = METHODS[method]
    x = rng.normal(size=(6, 5)).astype("float32")
    shifts = rng.normal(size=(6, 5)).astype("float32")
    parts = linear(5, 3), linear(3, 3, seed=1)
    start = [to_numpy(part.weights[0]) for part in parts]
    model = ContrastiveTrainer(
        parts[0], augmenters=Shifts(shifts), predictors=parts[1], teacher=teacher(momentum)
    )
    model.compile(keras.optimizers.SGD(0.5), loss(), run_eagerly=True)
    model(x)
    losses = []
    for _ in range(3):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(x)))
    steps = [(x + shifts[step], x + shifts[step + 1]) for step in (0, 2, 4)]
    expected, trained, slow = reference.train(start, steps, momentum, 0.5, contrast)
    # Losses and weights are float32 here, and float64 in the reference.
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for part, weight, before in zip(parts, trained, start, strict=True):
        np.testing.assert_allclose(to_numpy(part.weights[0]), weight, atol=1e-5)
        assert np.abs(weight - before).max() > 0.05
    if momentum is not None:
        np.testing.assert_allclose(to_numpy(model.teacher.averages[0]), slow, atol=1e-5)


@pytest.mark.slow_to_compile
def test_a_loss_that_is_not_symmetric_has_one_direction():
    model = byol()
    model.compile("sgd", NegativeCosine(symmetric=False), run_eagerly=True)
    assert model.direction_weights() == {("view_1_predicted", "view_2_target"): 1.0}
    x = pairs()["image"]
    model(x)
    embed = lambda rows: model.projectors(model.encoders(rows))  # noqa: E731
    predictions = to_numpy(model.predictors(embed(x + 0.5)))
    expected = reference.negative_cosine(predictions, to_numpy(embed(x + 0.5)))
    assert float(model.train_on_batch(x)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("momentum", [0.7, None], ids=["teacher", "no teacher"])
def test_evaluation_predicts_without_augmentation_of_the_first_view(momentum):
    model = byol(momentum)
    model.compile("sgd", NegativeCosine(), metrics=[EffectiveRank()], run_eagerly=True)
    x = pairs()["image"]
    logs = model.test_on_batch(x, return_dict=True)
    views = [to_numpy(model.projectors(model.encoders(rows))) for rows in (x, x + 0.5)]
    predictions = [to_numpy(model.predictors(view)) for view in views]
    expected = np.mean([reference.negative_cosine(predictions[i], views[1 - i]) for i in (0, 1)])
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    assert 1 <= logs["effective_rank"] <= 3


@pytest.mark.parametrize("momentum", [0.7, None], ids=["teacher", "no teacher"])
def test_predictions_of_towers_meet_targets_of_the_other_modality(momentum):
    x, encoders = pairs(), towers()
    predictors = {"image": linear(4, 4, 3)}  # the text is its own prediction
    model = ContrastiveTrainer(
        encoders, predictors=predictors, teacher=teacher(momentum), in_modal_weight=0.0
    )
    model.compile(keras.optimizers.SGD(0.1), NegativeCosine(), run_eagerly=True)
    views = {name: to_numpy(rows) for name, rows in model(x).items()}
    predicted = views["image"] @ to_numpy(predictors["image"].weights[0])
    directions = [(predicted, views["text"]), (views["text"], views["image"])]
    expected = np.mean([reference.negative_cosine(a, b) for a, b in directions])
    before = to_numpy(encoders["text"].weights[0])
    assert float(model.train_on_batch(x)) == pytest.approx(expected, rel=1e-4)
    assert np.abs(to_numpy(encoders["text"].weights[0]) - before).max() > 1e-4


@pytest.mark.slow_to_compile
def test_rows_without_a_modality_have_no_prediction():
    x = {**pairs(), "has_text": np.arange(24) % 3 > 0}
    model = ContrastiveTrainer(towers(), predictors=settle(tower(4)), present={"has_text": "text"})
    model.compile(keras.optimizers.SGD(0.0), NegativeCosine(reduction="sum"), run_eagerly=True)
    kept = {name: rows[x["has_text"]] for name, rows in x.items()}
    found = float(model.train_on_batch(x))
    model.reset_metrics()
    assert found == pytest.approx(float(model.train_on_batch(kept)), rel=1e-5)


def fit(model, epochs):
    x = pairs()["image"]
    history = model.fit(x, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return history.history["loss"]


def trained(epochs, loss=NegativeCosine, **kwargs):
    model = byol(**kwargs)
    model.compile(keras.optimizers.SGD(0.1), loss(), run_eagerly=True)
    return model, fit(model, epochs)


@pytest.mark.slow_to_compile
def test_a_saved_trainer_continues_with_its_predictor(tmp_path):
    _, expected = trained(2)
    model, first = trained(1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for part in ("predictors", "projectors"):
        for weight, original in zip(
            getattr(loaded, part).weights, getattr(model, part).weights, strict=True
        ):
            np.testing.assert_array_equal(to_numpy(weight), to_numpy(original))
    np.testing.assert_allclose(first + fit(loaded, 1), expected, rtol=1e-5)


def test_embedders_and_predict_leave_the_predictor_out():
    model, _ = trained(1)
    x = pairs()["image"]
    expected = to_numpy(model.projectors(model.encoders(x)))
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5)
    embedder = model.embedder(normalize=False)
    np.testing.assert_allclose(embedder.predict(x, verbose=0), expected, rtol=1e-5)
    shared = {id(weight) for weight in embedder.weights}
    assert not any(id(weight) in shared for weight in model.predictors.weights)
    tracked = {id(weight) for weight in model.trainable_weights}
    assert all(id(weight) in tracked for weight in model.predictors.trainable_weights)
    assert len(model.teacher.averages) == len(model.encoders.weights) + 1


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("loss", [NegativeCosine, VICReg])
def test_micro_batches_do_not_change_the_loss(loss):
    expected = trained(2, loss=loss)[1]
    found = trained(2, loss=loss, micro_batch_size=3)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.slow_to_compile
def test_a_queue_stores_predictions_and_targets():
    model = byol()
    queue = EmbeddingQueue(40, 3)
    model.compile("sgd", InfoNCE(0.5, memory=queue), run_eagerly=True)
    assert queue.embeddings.shape == (40, 4, 3)
    first = float(model.train_on_batch(pairs()["image"]))
    model.reset_metrics()
    # 24 more candidates of each anchor.
    assert float(model.train_on_batch(pairs()["image"])) > first + 0.3


def effective_ranks(stop_gradient):
    """Effective ranks of SimSiam after each epoch, with the batch normalization of the paper."""

    class SimSiam(ContrastiveTrainer):
        def target(self, view, embedding):
            return super().target(view, embedding) if stop_gradient else embedding

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    layers = keras.layers

    def block(*parts):
        return keras.Sequential(list(parts))

    encoder = block(
        keras.Input((8,)), layers.Dense(16, use_bias=False), layers.BatchNormalization()
    )
    encoder.add(layers.ReLU())
    projector = block(
        keras.Input((16,)), layers.Dense(8, use_bias=False), layers.BatchNormalization(scale=False)
    )
    predictor = block(
        keras.Input((8,)), layers.Dense(4, use_bias=False), layers.BatchNormalization()
    )
    predictor.add(layers.ReLU())
    predictor.add(layers.Dense(8))
    for seed, part in enumerate((encoder, projector, predictor)):
        for weight in part.trainable_weights:
            if len(weight.shape) == 2:
                generator = np.random.default_rng(seed)
                weight.assign(generator.normal(size=weight.shape, scale=weight.shape[0] ** -0.5))
    model = SimSiam(
        encoder, layers.GaussianNoise(0.3, seed=1), projectors=projector, predictors=predictor
    )
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9)
    model.compile(optimizer, NegativeCosine(), metrics=[EffectiveRank()], **COMPILE_LEAST)
    history = model.fit(x, batch_size=64, epochs=40, shuffle=False, verbose=0).history
    return history["effective_rank"]


@pytest.mark.slow_to_compile
def test_simsiam_collapses_without_its_stop_gradient_only():
    with_stop, without = effective_ranks(True), effective_ranks(False)
    assert with_stop[0] == pytest.approx(without[0], rel=0.2)
    assert with_stop[-1] > 2.4
    assert without[-1] < 1.8


@pytest.mark.parametrize(
    ("predictors", "error", "message"),
    [
        ("mlp", TypeError, "`predictors` must be a Keras layer"),
        ({"image": keras.layers.Identity()}, TypeError, "a layer if there is one encoder"),
        ({}, ValueError, "must have a layer for some modality"),
    ],
)
def test_wrong_predictors_raise(predictors, error, message):
    with pytest.raises(error, match=message):
        ContrastiveTrainer(tower(6), keras.layers.Identity(), predictors=predictors)


def test_predictors_that_do_not_fit_other_parts_raise():
    layer = keras.layers.Identity()
    with pytest.raises(ValueError, match=r"`predictors` must contain only modalities.*sound"):
        ContrastiveTrainer(towers(), predictors={"sound": layer})
    with pytest.raises(ValueError, match=r"`hard_negatives` must be empty if.*`predictors`"):
        ContrastiveTrainer(towers(), predictors=layer, hard_negatives={"wrong": "text"})
    with pytest.raises(ValueError, match=r"`teacher` must have no soft targets"):
        ContrastiveTrainer(towers(), predictors=layer, teacher=MomentumTeacher(soft_targets=0.4))


def test_losses_whose_candidates_would_be_predictions_raise():
    model = ContrastiveTrainer(towers(), predictors=keras.layers.Identity())
    for loss in (
        NTXent(),
        SupCon(),
        DecoupledContrastive(),
        GammaContrastive(all_views=True),
        ArcFace(ClassProxies(3, 4)),
        Matryoshka(NTXent(), dims=(2, 4)),
    ):
        with pytest.raises(ValueError, match="`loss` must compare an anchor with one other view"):
            model.compile("sgd", loss)


def test_predictors_need_two_views_and_the_size_of_the_embeddings():
    alone = ContrastiveTrainer({"image": tower(6)}, predictors=keras.layers.Dense(4))
    with pytest.raises(ValueError, match="`predictors` must be `None` if there is one view"):
        alone.compile("sgd", InfoNCE())
    for size in (1, 3):
        model = ContrastiveTrainer(towers(), predictors=keras.layers.Dense(size))
        model.compile("sgd", NegativeCosine(), **COMPILE_LEAST)
        with pytest.raises(ValueError, match="`predictors` must return vectors of the size"):
            model.train_on_batch(pairs())


@pytest.mark.slow_to_compile
def test_predictors_see_other_rows_in_place_of_absent_ones():
    seen = []

    class Probe(keras.layers.Layer):
        def call(self, x):
            seen.append(x)
            return x

    has_text = np.arange(24) % 3 > 0
    model = ContrastiveTrainer(towers(), predictors=Probe(), present={"has_text": "text"})
    model.compile("sgd", NegativeCosine(), run_eagerly=True)
    x = {**pairs(), "has_text": has_text}
    model(x)
    seen.clear()
    model.test_on_batch(x)
    assert len(seen) == 2
    for rows in seen:
        assert np.abs(to_numpy(rows)).max(axis=1).min() > 0
