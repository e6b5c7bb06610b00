"""Zero-shot classification, k-NN and linear probes: limits, few shots and errors."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.evaluation import (
    KNNProbe,
    LinearProbe,
    ZeroShotEvaluation,
    knn_probe,
    linear_probe,
    softmax_regression,
    zero_shot,
)
from keras_contrastive.losses import InfoNCE
from tests.helpers import towers

PROBES = [knn_probe, linear_probe]
LABELS = np.arange(24) % 3


def labeled(rng, rows=24, dim=6):
    return rng.normal(size=(rows, dim)).astype("float32"), np.arange(rows) % 3


def test_equal_embeddings_rank_last():
    results = zero_shot(np.ones((6, 4)), np.arange(6) % 3, np.ones((3, 4)), k=(2, 3))
    assert results == {"top_2_accuracy": 0, "top_3_accuracy": 1, "mean_class_accuracy": 0}


@pytest.mark.parametrize(("neighbors", "accuracy"), [(1, 1.0), (2, 0.0)])
def test_equal_votes_are_errors(neighbors, accuracy):
    data = np.eye(2), np.array([0, 1])
    results = knn_probe(*data, *data, neighbors=neighbors, temperature=None)
    assert results["top_1_accuracy"] == accuracy


@pytest.mark.parametrize("tiles", [(12, 12)], indirect=True)
def test_all_rows_vote_if_there_are_fewer_than_neighbors(rng, tiles):
    data = (*labeled(rng), *labeled(rng))
    assert knn_probe(*data, neighbors=500) == knn_probe(*data, neighbors=24)


def test_templates_are_averaged_as_unit_vectors():
    # The long vector of the second class counts as much as the short one.
    classes = np.array([[[1.0, 0], [1, 0]], [[100.0, 0], [0, 1]]])
    results = zero_shot(np.array([[0.9, 0.5]]), np.array([1]), classes, k=(1,))
    assert results["top_1_accuracy"] == 1.0


@pytest.mark.parametrize("probe", PROBES)
def test_class_without_labeled_rows_counts_as_an_error(probe, rng):
    features, labels = labeled(rng)
    results = probe(features, labels, features, np.where(labels == 2, 9, labels), k=(1, 50))
    assert results["top_50_accuracy"] == pytest.approx(2 / 3)
    assert results.get("cross_entropy", np.inf) == np.inf


@pytest.mark.parametrize("probe", PROBES)
def test_draws_depend_on_the_seed_only(probe, rng):
    data = (*labeled(rng), *labeled(rng))
    first = probe(*data, shots=2, draws=3)
    assert first == probe(*data, shots=2, draws=3)
    assert first != probe(*data, shots=2, draws=3, seed=1)
    assert all(name.startswith("2_shot_") for name in first)
    assert {type(value) for value in first.values()} == {float}


@pytest.mark.parametrize(("draws", "has_error"), [(1, False), (2, True)])
def test_several_draws_have_a_standard_error(rng, draws, has_error):
    results = knn_probe(*labeled(rng), *labeled(rng), shots=2, draws=draws)
    assert ("2_shot_top_1_accuracy_error" in results) == has_error


def test_all_rows_as_shots_equal_all_rows(rng):
    data = (*labeled(rng), *labeled(rng))
    results = linear_probe(*data, shots=8, draws=2)
    assert results["8_shot_top_1_accuracy"] == linear_probe(*data)["top_1_accuracy"]
    assert results["8_shot_top_1_accuracy_error"] == 0.0


def test_regression_converges_on_separable_rows_with_little_regularization():
    features = np.array([[-1.0], [-0.9], [0.9], [1.0]])
    predict = softmax_regression(features, np.array([0, 0, 1, 1]), C=1e6)
    assert (predict(features).argmax(1) == [0, 0, 1, 1]).all()
    assert np.isfinite(predict(features)).all()


def test_regression_on_equal_features_predicts_the_frequencies():
    predict = softmax_regression(np.zeros((10, 3)), np.array([0] * 7 + [1] * 3))
    np.testing.assert_allclose(np.exp(predict(np.zeros((1, 3)))), [[0.7, 0.3]], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shots": 9}, ValueError, r"`shots` must be in \[1, 8\].* shots=9. Class 0 has only 8"),
        ({"shots": 0}, ValueError, r"`shots` must be in \[1, 8\]"),
        ({"shots": 1.5}, TypeError, "`shots` must be `None`, a positive integer or several"),
        ({"shots": 1, "draws": 0}, ValueError, "`draws` must be a positive integer"),
        ({"labels": np.array(["a"] * 24)}, TypeError, "`labels` must be integers.*return_inverse"),
    ],
)
@pytest.mark.parametrize("probe", PROBES)
def test_invalid_arguments_of_both_probes_raise(probe, rng, arguments, error, message):
    features, labels = labeled(rng)
    data = {
        "features": features,
        "labels": labels,
        "new_features": features,
        "new_labels": labels,
    }
    with pytest.raises(error, match=message):
        probe(**data | arguments)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: knn_probe(x, y, x, y, neighbors=0), ValueError, "`neighbors` must be"),
        (lambda x, y: knn_probe(x, y, x, y, neighbors=1.0), TypeError, "`neighbors` must be"),
        (
            lambda x, y: knn_probe(x, y, x, y, temperature=0.0),
            ValueError,
            "`temperature` must be.*`None` for equal votes",
        ),
        (lambda x, y: linear_probe(x, y, x, y, C=0.0), ValueError, r"`C` must be .* C=0\.0"),
        (
            lambda x, y: linear_probe(x, 0 * y, x, y),
            ValueError,
            r"`labels` must contain at least two classes. Received: labels of the classes \[0\]",
        ),
        (
            lambda x, y: softmax_regression(x, y, max_steps=1),
            ValueError,
            "did not converge in 1 steps",
        ),
        (
            lambda x, y: zero_shot(x, y, np.ones((2, 6))),
            ValueError,
            r"`labels` must be in \[0, 2\).*labels up to 2",
        ),
    ],
)
def test_invalid_arguments_raise(call, error, message, rng):
    with pytest.raises(error, match=message):
        call(*labeled(rng))


@pytest.mark.parametrize(
    ("callback", "probe", "name"),
    [(KNNProbe, knn_probe, "knn"), (LinearProbe, linear_probe, "linear")],
)
def test_probes_of_a_trainer_with_one_encoder(callback, probe, name):
    encoder = towers.settle(towers.tower(6))
    projector = towers.settle(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    model = ContrastiveTrainer(encoder, augmenters=towers.Shift(), projectors=projector)
    x, new_x = towers.pairs()["image"], towers.pairs(12, seed=1)["image"]
    few = {"shots": (1, 2), "draws": 3}
    inputs = [encoder.predict(z, verbose=0) for z in (x, new_x)]
    for projected in (False, True):
        if projected:
            inputs = [projector.predict(z, verbose=0) for z in inputs]
        evaluation = callback(x, LABELS, new_x, LABELS[:12], projected=projected, prefix="", **few)
        evaluation.set_model(model)
        expected = probe(inputs[0], LABELS, inputs[1], LABELS[:12], **few)
        assert evaluation.evaluate() == {
            f"{name}_{key}": pytest.approx(value, rel=1e-4) for key, value in expected.items()
        }


def test_modality_of_a_trainer_with_one_encoder_must_be_none():
    x = towers.pairs()["image"]
    evaluation = KNNProbe(x, LABELS, x, LABELS, modality="image")
    evaluation.set_model(ContrastiveTrainer(towers.tower(6), augmenters=towers.Shift()))
    with pytest.raises(ValueError, match=r"must be `None`, because .*one encoder. .* 'image'"):
        evaluation.evaluate()


def test_modality_of_a_trainer_with_towers_must_be_given():
    model, x = ContrastiveTrainer(towers.towers()), towers.pairs()
    model.compile("sgd", InfoNCE())
    probe = KNNProbe(x["image"], LABELS, x["image"], LABELS)
    with pytest.raises(ValueError, match=r"must be one of image, text\. Received: None"):
        model.fit(x, callbacks=[probe], verbose=0)


@pytest.mark.parametrize(
    ("templates", "tokenize", "error", "message"),
    [
        ("a photo", len, ValueError, r"`templates` must be .*`\{\}` for the name"),
        ([], len, TypeError, "`templates` must be strings"),
        ("{}", "words", TypeError, "`tokenize` must be a function"),
    ],
)
def test_invalid_prompts_raise(templates, tokenize, error, message):
    with pytest.raises(error, match=message):
        ZeroShotEvaluation(np.ones((2, 6)), [0, 0], ["a"], tokenize, templates)


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        (lambda model, x: np.ones((2, 3)), "dict with the embeddings of 'text'. Received: ndarray"),
        (lambda model, x: {"word": np.ones((2, 3))}, "Received: the modalities 'word'"),
    ],
)
def test_embed_of_zero_shot_must_return_the_modality(embed, message):
    evaluation = ZeroShotEvaluation(
        np.ones((2, 6)), [0, 0], ["a"], lambda prompts: np.ones((len(prompts), 5)), embed=embed
    )
    with pytest.raises(TypeError, match=message):
        evaluation.evaluate()
