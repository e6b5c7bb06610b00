"""Zero-shot classification, k-NN and linear probes: limits, few shots and errors."""

import inspect
import sys

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
    results = knn_probe(*data, *data, n_neighbors=neighbors, temperature=None)
    assert results["top_1_accuracy"] == accuracy


@pytest.mark.parametrize("tiles", [(12, 12)], indirect=True)
def test_all_rows_vote_if_there_are_fewer_than_neighbors(rng, tiles):
    data = (*labeled(rng), *labeled(rng))
    assert knn_probe(*data, n_neighbors=500) == knn_probe(*data, n_neighbors=24)


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


def test_probe_of_equal_features_predicts_the_frequencies():
    labels = np.array([0] * 7 + [1] * 3)
    found = linear_probe(np.zeros((10, 3)), labels, np.zeros((1, 3)), [0])
    assert found["cross_entropy"] == pytest.approx(-np.log(0.7), rel=1e-4)


def test_linear_probe_without_scikit_learn_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ImportError, match=r"pip install \"\.\[eval\]\""):
        linear_probe(np.eye(2), [0, 1], np.eye(2), [0, 1])
    with pytest.raises(ImportError, match=r"pip install \"\.\[eval\]\""):
        LinearProbe(np.eye(2), [0, 1], np.eye(2), [0, 1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shots": 9}, ValueError, r"`shots` must be in \[1, 8\].* shots=9. Class 0 has only 8"),
        ({"shots": 0}, ValueError, r"`shots` must be in \[1, 8\]"),
        ({"shots": []}, ValueError, "`shots` must be `None`, a positive integer or several"),
        ({"shots": 1.5}, TypeError, "`shots` must be `None`, a positive integer or several"),
        ({"shots": 2.0}, TypeError, "`shots` must be `None`, a positive integer or several"),
        ({"shots": (1, 2.0)}, TypeError, r"Received: shots=\(1, 2.0\)"),
        ({"shots": (1, 9)}, ValueError, r"`shots` must be in \[1, 8\].* shots=9"),
        ({"shots": "3"}, TypeError, "`shots` must be .* Received: shots='3'"),
        ({"shots": True}, TypeError, "`shots` must be .* Received: shots=True"),
        ({"shots": 1, "draws": 0}, ValueError, "`draws` must be a positive integer"),
        ({"draws": 2.5}, TypeError, "`draws` must be a positive integer"),
        ({"seed": -1}, ValueError, "`seed` must be a non-negative integer"),
        ({"seed": 0.5}, TypeError, "`seed` must be a non-negative integer"),
        ({"seed": None}, TypeError, "`seed` must be a non-negative integer"),
        ({"k": (0,)}, ValueError, "`k` must be a positive integer"),
        (
            {"train_labels": np.array(["a"] * 24)},
            TypeError,
            "`train_labels` must be integers.*return_inverse",
        ),
    ],
)
@pytest.mark.parametrize("probe", PROBES)
def test_invalid_arguments_of_both_probes_raise(probe, rng, arguments, error, message):
    features, labels = labeled(rng)
    data = {
        "train_features": features,
        "train_labels": labels,
        "test_features": features,
        "test_labels": labels,
    }
    with pytest.raises(error, match=message):
        probe(**data | arguments)


@pytest.mark.parametrize("shots", [np.int64(2), np.array(2), [2], (np.uint8(2),), np.array([2])])
@pytest.mark.parametrize("probe", PROBES)
def test_numpy_integers_are_shots(probe, rng, shots):
    data = (*labeled(rng), *labeled(rng))
    found = probe(*data, shots=shots, draws=np.int32(2), seed=np.uint16(3))
    assert found == probe(*data, shots=2, draws=2, seed=3)


SETTINGS = [
    ({"shots": 9}, ValueError, r"`shots` must be in \[1, 8\]"),
    ({"shots": 1.5}, TypeError, "`shots` must be"),
    ({"draws": 0}, ValueError, "`draws` must be"),
    ({"seed": -1}, ValueError, "`seed` must be"),
    ({"k": 5}, TypeError, "`k` must be"),
    ({"n_neighbours": 5}, TypeError, "Received: n_neighbours"),
    ({"n_neighbors": 0}, ValueError, "`n_neighbors` must be"),
    ({"n_neighbors": 2.5}, TypeError, "`n_neighbors` must be"),
    ({"temperature": 0}, ValueError, "`temperature` must be"),
    ({"temperature": np.inf}, ValueError, "`temperature` must be"),
    ({"temperature": "low"}, TypeError, "`temperature` must be"),
    ({"C": 0}, ValueError, "`C` must be"),
    ({"C": "1"}, TypeError, "`C` must be"),
    ({"C": np.nan}, ValueError, "`C` must be"),
    ({"modality": 3}, TypeError, "`modality` must be `None` or a string"),
    ({"projected": "yes"}, TypeError, "`projected` must be a bool"),
    ({"C": "best"}, TypeError, '`C` must be .*`"auto"`'),
    ({"exclude_self": 1}, TypeError, "`exclude_self` must be a bool"),
    ({"y_train": LABELS[1:]}, ValueError, r"`y_train` must have the shape \(24,\).* `x_train`"),
    ({"y_train": None}, TypeError, "`y_train` must be integers"),
    ({"y_test": LABELS / 2}, TypeError, "`y_test` must be integers.*row of `x_test`"),
    ({"x_test": [[1.0]]}, TypeError, "`x_test` must be an array"),
]


CALLBACKS = {KNNProbe: knn_probe, LinearProbe: linear_probe}


@pytest.mark.parametrize(("settings", "error", "message"), SETTINGS)
@pytest.mark.parametrize("callback", CALLBACKS)
def test_settings_are_checked_in_the_constructor(callback, settings, error, message):
    (name,) = settings
    x = towers.pairs()["image"]
    data = {"x_train": x, "y_train": LABELS, "x_test": x, "y_test": LABELS}
    if name in ("n_neighbors", "temperature", "C", "exclude_self"):
        known = name in inspect.signature(CALLBACKS[callback]).parameters
        error, message = (error, message) if known else (TypeError, f"Received: {name}")
    with pytest.raises(error, match=message):
        callback(**data | settings)


def test_a_linear_probe_of_one_class_raises_in_the_constructor():
    x = towers.pairs()["image"]
    with pytest.raises(ValueError, match="`train_labels` must contain at least two"):
        LinearProbe(x, 0 * LABELS, x, LABELS)


def test_settings_are_checked_if_inputs_are_embedded_by_a_function():
    data = object(), LABELS, object(), LABELS
    KNNProbe(*data, embed=lambda model, x: x, shots=8)
    with pytest.raises(ValueError, match="`shots` must be in"):
        KNNProbe(*data, embed=lambda model, x: x, shots=9)


@pytest.mark.parametrize("temperature", [1e-320, 1e-46, 1e-5, 0.002, 0.07, 1.0, np.float32(0.07)])
def test_the_nearest_row_has_a_vote_at_every_temperature(temperature):
    features, labels = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])
    new = np.array([[-1.0, -0.9]])  # far from both rows, and nearest to the second
    settings = {"n_neighbors": 2, "temperature": temperature, "k": (1, 2)}
    found = knn_probe(features, labels, new, np.array([1]), **settings)
    assert found == dict.fromkeys(found, 1.0)
    found = knn_probe(features, labels, new, np.array([0]), **settings)
    assert (found["top_1_accuracy"], found["top_2_accuracy"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: knn_probe(x, y, x, y, n_neighbors=0), ValueError, "`n_neighbors` must be"),
        (lambda x, y: knn_probe(x, y, x, y, n_neighbors=1.0), TypeError, "`n_neighbors` must be"),
        (
            lambda x, y: knn_probe(x, y, x, y, temperature=0.0),
            ValueError,
            "`temperature` must be.*`None` for equal votes",
        ),
        (lambda x, y: linear_probe(x, y, x, y, C=0.0), ValueError, r"`C` must be .* C=0\.0"),
        (
            lambda x, y: linear_probe(x, 0 * y, x, y),
            ValueError,
            r"`train_labels` must contain at least two classes. Received: labels of .* \[0\]",
        ),
        (
            lambda x, y: linear_probe(x, y, x, y, C="auto", shots=(1, 2)),
            ValueError,
            "`C` must be a number if no class has two training rows.*C='auto'",
        ),
        (
            lambda x, y: knn_probe(x, y, x, y[::-1], exclude_self=True),
            ValueError,
            "`test_labels` must be `train_labels` if `exclude_self` is True",
        ),
        (lambda x, y: knn_probe(x[:1], y[:1]), ValueError, "two rows or more.*one row"),
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
    with pytest.raises(ValueError, match=r"must be `None`, because .*one encoder. .*='image'"):
        evaluation.evaluate()


def test_modality_of_a_trainer_with_towers_must_be_given():
    model, x = ContrastiveTrainer(towers.towers()), towers.pairs()
    model.compile("sgd", InfoNCE())
    probe = KNNProbe(x["image"], LABELS, x["image"], LABELS)
    with pytest.raises(ValueError, match=r"must be one of image, text\. Received: modality=None"):
        model.fit(x, callbacks=[probe], verbose=0)


@pytest.mark.parametrize(
    ("templates", "tokenize", "error", "message"),
    [
        ("a photo", len, ValueError, r"`templates` must be .*`\{\}` for the name"),
        ([], len, TypeError, "`templates` must be strings"),
        ("{}", "words", TypeError, "`tokenize` must be a function"),
        (3, len, TypeError, "`templates` must be strings"),
        (["{}", 3], len, TypeError, "`templates` must be strings"),
        ("{}", lambda prompts: np.ones((2, 3)), ValueError, "Received: 2 rows for 1"),
        ("{}", lambda prompts: prompts, TypeError, r"`tokenize\(prompts\)` must be an array"),
    ],
)
def test_invalid_prompts_raise(templates, tokenize, error, message):
    with pytest.raises(error, match=message):
        ZeroShotEvaluation(np.ones((2, 6)), [0, 0], ["a"], tokenize, templates)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"class_names": "cat"}, TypeError, "`class_names` must be strings, .*class_names='cat'"),
        ({"class_names": [1, 2]}, TypeError, "`class_names` must be strings"),
        ({"class_names": []}, TypeError, "`class_names` must be strings"),
        (
            {"labels": [0, 2]},
            ValueError,
            r"`labels` must be in \[0, 2\), the rows of `class",
        ),
        ({"labels": ["a", "b"]}, TypeError, "`labels` must be integers"),
        ({"labels": [0]}, ValueError, r"`labels` must have the shape \(2,\)"),
        ({"x": "cat.png"}, TypeError, "`x` must be an array"),
    ],
)
def test_invalid_arguments_of_zero_shot_raise_in_the_constructor(arguments, error, message):
    valid = {"x": np.ones((2, 6)), "labels": [0, 1], "class_names": np.array(["a", "b"])}
    valid["tokenize"] = lambda prompts: np.ones((len(prompts), 5))
    ZeroShotEvaluation(**valid)
    with pytest.raises(error, match=message):
        ZeroShotEvaluation(**valid | arguments)


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
