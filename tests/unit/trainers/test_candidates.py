"""Hard negatives and queues inside the trainer."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import (
    EmbeddingQueue,
    LearnableBias,
    LearnableTemperature,
    MomentumTeacher,
)
from keras_contrastive.losses import (
    GammaContrastive,
    GlobalContrastive,
    InfoNCE,
    NegativeCosine,
    SigmoidContrastive,
)
from tests.helpers.backend import COMPILE_LEAST, COMPILE_MOST
from tests.helpers.towers import pairs, tower, towers


def data():
    wrong = np.random.default_rng(7).normal(size=(2, 24, 5)).astype("float32")
    return pairs() | {"wrong_text": wrong[0], "other_text": wrong[1]}


def trainer(loss, **kwargs):
    model = ContrastiveTrainer(towers(), **kwargs)
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


def test_hard_negatives_are_candidates_of_their_modality():
    model = trainer(
        InfoNCE(temperature=0.5), hard_negatives={"wrong_text": "text", "other_text": "text"}
    )
    x = data()
    found = model.evaluate(x, batch_size=24, verbose=0)
    image, text, *wrong = (
        ops.convert_to_tensor(model.encoders[tower](x[name]))
        for name, tower in (
            ("image", "image"),
            ("text", "text"),
            ("wrong_text", "text"),
            ("other_text", "text"),
        )
    )
    expected = InfoNCE(temperature=0.5)(
        None, (image, text), hard_negatives={1: ops.concatenate(wrong)}
    )
    assert found == pytest.approx(float(ops.convert_to_numpy(expected)), rel=1e-5)
    assert found > trainer(InfoNCE(temperature=0.5)).evaluate(pairs(), batch_size=24, verbose=0)


def test_hard_negatives_are_trained_and_saved_but_not_predicted(tmp_path):
    model = trainer(GammaContrastive(temperature=0.5), hard_negatives={"wrong_text": "text"})
    x = data()
    del x["other_text"]
    losses = model.fit(x, batch_size=8, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert set(model.predict(pairs(), verbose=0)) == {"image", "text"}
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.hard_negatives == {"wrong_text": "text"}
    assert again.evaluate(data(), verbose=0) == pytest.approx(
        model.evaluate(data(), verbose=0), rel=1e-5
    )


def test_queue_is_filled_and_saved_with_the_model(tmp_path):
    model = trainer(InfoNCE(temperature=0.5, memory=EmbeddingQueue(10, dim=4)))
    ids = np.arange(24, dtype="int32")
    model.fit(pairs(), ids, batch_size=8, shuffle=False, verbose=0)
    assert sorted(ops.convert_to_numpy(model.loss.memory.ids)) == list(range(14, 24))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for found, expected in zip(again.loss.memory.weights, model.loss.memory.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(expected))
    history = [
        m.fit(pairs(), ids, batch_size=8, shuffle=False, verbose=0).history["loss"]
        for m in (model, again)
    ]
    np.testing.assert_allclose(history[0], history[1], rtol=1e-5)


@pytest.mark.traced
@pytest.mark.parametrize(
    "make",
    [
        lambda: InfoNCE(
            LearnableTemperature(0.5, per_direction=True), memory=EmbeddingQueue(20, dim=4)
        ),
        lambda: SigmoidContrastive(LearnableTemperature(0.5), LearnableBias(-1.0)),
        lambda: GlobalContrastive(24, LearnableTemperature(0.5), momentum_steps=5),
    ],
    ids=["queue", "sigmoid", "global"],
)
def test_compiled_fit_equals_eager_fit(make):
    results = []
    for how in ({"run_eagerly": True}, COMPILE_MOST):
        model = ContrastiveTrainer(towers())
        model.compile(keras.optimizers.SGD(0.1), make(), **how)
        before = (
            [np.array(ops.convert_to_numpy(w)) for w in model.loss.temperature.weights]
            if how
            else []
        )
        model.fit(
            pairs(), np.arange(24, dtype="int32"), batch_size=6, epochs=2, shuffle=False, verbose=0
        )
        results.append(
            [ops.convert_to_numpy(weight) for weight in model.weights if "seed" not in weight.path]
        )
        for old, new in zip(before, model.loss.temperature.weights, strict=False):
            assert np.all(old != ops.convert_to_numpy(new))
    for eager, fast in zip(*results, strict=True):
        np.testing.assert_allclose(fast, eager, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("built_first", [False, True])
def test_a_queue_gets_its_dimension_from_the_embeddings(built_first, tmp_path):
    queue = EmbeddingQueue(10, warmup_steps=1)
    model = ContrastiveTrainer(towers())
    if built_first:
        model(pairs())
    model.compile("sgd", InfoNCE(0.5, memory=queue), **COMPILE_LEAST)
    assert queue.built == built_first
    model.fit(pairs(), batch_size=8, verbose=0)
    assert (queue.dim, queue.embeddings.shape) == (4, (10, 2, 4))
    assert np.count_nonzero(ops.convert_to_numpy(queue.ids) >= 0) == 10
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for found, expected in zip(again.loss.memory.weights, queue.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(expected))


def compile_warnings(loss, freeze=False, **parts):
    encoder = tower(6)
    encoder.trainable = not freeze
    model = ContrastiveTrainer(encoder, keras.layers.Identity(), **parts)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.compile("sgd", loss)
    return [str(warning.message) for warning in found]


def test_a_queue_of_embeddings_from_fast_weights_warns():
    loss = InfoNCE(memory=EmbeddingQueue(10))
    (message,) = compile_warnings(loss)
    assert "EmbeddingQueue(10), without a `teacher`" in message
    assert compile_warnings(loss, teacher=MomentumTeacher()) == []
    assert compile_warnings(loss, freeze=True) == []
    assert compile_warnings(InfoNCE(memory=EmbeddingQueue(10, warmup_steps=5))) == []
    assert compile_warnings(InfoNCE()) == []


def test_the_negative_cosine_without_targets_warns():
    (message,) = compile_warnings(NegativeCosine())
    assert "nothing keeps them apart. Pass `predictors`" in message
    assert compile_warnings(NegativeCosine(), predictors=keras.layers.Dense(4)) == []
