"""Zero-shot, k-NN and linear probes: the edges, the errors and the callbacks."""

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


def test_where_all_embeddings_coincide_nothing_is_found():
    results = zero_shot(np.ones((6, 4)), np.arange(6) % 3, np.ones((3, 4)), k=(1, 2, 3))
    expected = {
        "top_1_accuracy": 0,
        "top_2_accuracy": 0,
        "top_3_accuracy": 1,
        "mean_class_accuracy": 0,
    }
    assert results == expected


def test_equal_votes_are_ties_and_lost():
    features, labels = np.eye(2), np.array([0, 1])
    assert (
        knn_probe(features, labels, features, labels, neighbors=2, temperature=None)[
            "top_1_accuracy"
        ]
        == 0.0
    )
    assert (
        knn_probe(features, labels, features, labels, neighbors=1, temperature=None)[
            "top_1_accuracy"
        ]
        == 1.0
    )


def test_more_neighbors_than_rows_are_all_rows(rng):
    data = (*labeled(rng), *labeled(rng))
    assert knn_probe(*data, neighbors=500, tile=5) == knn_probe(*data, neighbors=24)


def test_the_templates_of_a_class_are_averaged_on_the_sphere():
    classes = np.array(
        [[[1.0, 0], [1, 0]], [[100.0, 0], [0, 1]]]
    )  # the long vector counts as much as the short one
    embeddings = np.array([[0.9, 0.5]])
    assert zero_shot(embeddings, np.array([1]), classes, k=(1,))["top_1_accuracy"] == 1.0


@pytest.mark.parametrize("probe", PROBES)
def test_a_class_that_was_never_seen_counts_as_wrong(probe, rng):
    features, labels = labeled(rng)
    results = probe(features, labels, features, np.where(labels == 2, 9, labels), k=(1, 50))
    assert results["top_50_accuracy"] == pytest.approx(2 / 3)
    assert results.get("cross_entropy", np.inf) == np.inf


@pytest.mark.parametrize("probe", PROBES)
def test_draws_are_the_same_for_the_same_seed_and_others_for_another(probe, rng):
    data = (*labeled(rng), *labeled(rng))
    first = probe(*data, shots=2, draws=3)
    assert first == probe(*data, shots=2, draws=3)
    assert first != probe(*data, shots=2, draws=3, seed=1)
    assert all(name.startswith("2_shot_") for name in first)
    assert "2_shot_top_1_accuracy_error" in first
    assert "2_shot_top_1_accuracy_error" not in probe(*data, shots=2, draws=1)
    assert {type(value) for value in first.values()} == {float}


def test_all_rows_as_shots_are_no_draw_at_all(rng):
    data = (*labeled(rng), *labeled(rng))
    results = linear_probe(*data, shots=8, draws=2)
    assert results["8_shot_top_1_accuracy"] == linear_probe(*data)["top_1_accuracy"]
    assert results["8_shot_top_1_accuracy_error"] == 0.0


def test_separable_rows_and_little_regularisation_converge():
    features = np.array([[-1.0], [-0.9], [0.9], [1.0]])
    predict = softmax_regression(features, np.array([0, 0, 1, 1]), C=1e6)
    assert (predict(features).argmax(1) == [0, 0, 1, 1]).all()
    assert np.isfinite(predict(features)).all()


def test_features_that_say_nothing_give_the_frequencies(rng):
    predict = softmax_regression(np.zeros((10, 3)), np.array([0] * 7 + [1] * 3))
    np.testing.assert_allclose(np.exp(predict(np.zeros((1, 3)))), [[0.7, 0.3]], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": np.ones(4)}, r"`features` must have the shape `\(rows, dim\)`"),
        (
            {"labels": np.zeros(4)},
            r"Labels of `features` must be integers.*dtype float64.*return_inverse",
        ),
        ({"labels": np.zeros(3, int)}, r"one for each of its 4 rows.*shape \(3,\)"),
        ({"new_labels": np.array([0, -1, 1, 1])}, r"must be in \[0, 2\*\*31\)"),
        ({"new_features": np.ones((4, 3))}, "must have the same last dimension"),
        ({"features": np.full((4, 2), np.nan)}, "`features` has values that are not finite"),
        ({"shots": 3}, r"`shots` must be in \[1, 2\]: class 0 has 2 rows. Received: shots=3"),
        ({"shots": 1, "draws": 0}, "`draws` must be a positive integer"),
    ],
)
@pytest.mark.parametrize("probe", PROBES)
def test_wrong_arguments_are_refused(probe, arguments, message):
    labels = np.array([0, 0, 1, 1])
    right = {
        "features": np.ones((4, 2)),
        "labels": labels,
        "new_features": np.ones((4, 2)),
        "new_labels": labels,
    }
    with pytest.raises(ValueError, match=message):
        probe(**right | arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: knn_probe(x, y, x, y, neighbors=0), "`neighbors` must be a positive integer"),
        (
            lambda x, y: knn_probe(x, y, x, y, temperature=0.0),
            "`temperature` must be positive, or `None`",
        ),
        (
            lambda x, y: linear_probe(x, y, x, y, C=0.0),
            "`C` must be positive and finite. Received: C=0.0",
        ),
        (
            lambda x, y: linear_probe(x, 0 * y, x, y),
            r"at least two classes. Received: the labels \[0\]",
        ),
        (lambda x, y: softmax_regression(x, y, max_steps=1), "did not converge in 1 steps"),
        (
            lambda x, y: zero_shot(x, y, np.ones((2, 6))),
            r"`labels` must be in \[0, 2\).*labels up to 2",
        ),
        (
            lambda x, y: zero_shot(x, y, np.ones((3, 5))),
            "`embeddings` and `classes` must have the same last dim",
        ),
        (lambda x, y: zero_shot(x, y, np.ones(3)), "`classes` must have the shape"),
        (lambda x, y: zero_shot(x, y / 2, np.ones((3, 6))), "must be integers"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(*labeled(rng))


def fit(model, callbacks, x, **kwargs):
    model.compile(keras.optimizers.SGD(0.1), InfoNCE())
    return model.fit(x, verbose=0, callbacks=callbacks, **kwargs).history


VECTORS = {"cat": [1.0, 0, 0, 0, 0], "dog": [0, 1.0, 0, 0, 0], "owl": [0, 0, 1.0, 0, 0]}


def tokenize(prompts):
    """The text tower's input for a prompt: the vector of its last word, moved by the number of words."""
    words = [prompt.split() for prompt in prompts]
    return np.array([np.add(VECTORS[w[-1]], len(w)) for w in words], "float32")


def test_zero_shot_is_reported_of_the_model_as_it_is():
    model = ContrastiveTrainer(towers.towers(), projectors={"text": keras.layers.Dense(4)})
    x, names = towers.pairs(), list(VECTORS)
    evaluation = ZeroShotEvaluation(x["image"], LABELS, names, tokenize, ["{}", "the {}"], k=(1, 2))
    history = fit(model, [evaluation], x, epochs=2)
    prompts = [
        tokenize([template.format(name)])[0] for name in names for template in ("{}", "the {}")
    ]
    words = model.predict({"image": x["image"][:6], "text": np.stack(prompts)}, verbose=0)["text"]
    expected = zero_shot(
        model.predict(x, verbose=0)["image"], LABELS, np.reshape(words, (3, 2, -1)), k=(1, 2)
    )
    assert {name: series[-1] for name, series in history.items() if name != "loss"} == {
        f"val_zero_shot_{name}": pytest.approx(value) for name, value in expected.items()
    }


def test_zero_shot_serves_another_model_through_embed(rng):
    image, text = towers.settle(towers.tower(6)), towers.settle(towers.tower(5), 1)
    inputs = keras.Input((6,))
    model = keras.Model(inputs, image(inputs))
    encoders = {"picture": image, "word": text}
    x = towers.pairs()["image"]
    evaluation = ZeroShotEvaluation(
        x,
        LABELS,
        list(VECTORS),
        tokenize,
        image="picture",
        text="word",
        embed=lambda m, name, z: encoders[name](z),
    )
    evaluation.set_model(model)
    words = text.predict(tokenize(list(VECTORS)), verbose=0)
    assert evaluation.evaluate()["val_zero_shot_top_1_accuracy"] == pytest.approx(
        zero_shot(image.predict(x, verbose=0), LABELS, words)["top_1_accuracy"]
    )


@pytest.mark.parametrize(
    ("callback", "probe", "name"),
    [(KNNProbe, knn_probe, "knn"), (LinearProbe, linear_probe, "linear")],
)
@pytest.mark.parametrize("projected", [False, True])
def test_probes_see_the_encoder_or_the_projector_as_they_are(callback, probe, name, projected):
    encoder, projector = (
        towers.settle(towers.tower(6)),
        towers.settle(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])),
    )
    model = ContrastiveTrainer(
        encoder, augmenters=keras.layers.GaussianNoise(0.1), projectors=projector
    )
    x, new_x = towers.pairs()["image"], towers.pairs(12, seed=1)["image"]
    evaluation = callback(
        x,
        LABELS,
        new_x,
        LABELS[:12],
        projected=projected,
        every=2,
        prefix="",
        shots=(1, 2),
        draws=3,
    )
    history = fit(model, [evaluation], x, epochs=2)
    features, new_features = (encoder.predict(z, verbose=0) for z in (x, new_x))
    if projected:
        features, new_features = (projector.predict(z, verbose=0) for z in (features, new_features))
    expected = probe(features, LABELS, new_features, LABELS[:12], shots=(1, 2), draws=3)
    assert {key: series for key, series in history.items() if key != "loss"} == {
        f"{name}_{key}": [pytest.approx(value, rel=1e-4)] for key, value in expected.items()
    }


def test_probes_take_a_modality_or_a_function():
    model, x = ContrastiveTrainer(towers.towers()), towers.pairs()
    model.compile("sgd", InfoNCE())
    by_name = KNNProbe(x["text"], LABELS, x["text"], LABELS, modality="text", neighbors=3)
    by_function = KNNProbe(
        x,
        LABELS,
        x,
        LABELS,
        embed=lambda model, z: model.predict(z, verbose=0)["text"],
        neighbors=3,
    )
    for evaluation in (by_name, by_function):
        evaluation.set_model(model)
    assert by_name.evaluate() == by_function.evaluate()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda x: ZeroShotEvaluation(x, LABELS, ["a"], tokenize, "a photo"),
            ValueError,
            r"with `\{\}` for the name",
        ),
        (
            lambda x: ZeroShotEvaluation(x, LABELS, ["a"], "words"),
            TypeError,
            "`tokenize` must be a function",
        ),
        (
            lambda x: KNNProbe(x, LABELS, x, LABELS, every=0),
            ValueError,
            "`every` must be a positive number",
        ),
        (
            lambda x: KNNProbe(x, LABELS, x, LABELS),
            ValueError,
            "must be one of image, text. Received: None",
        ),
        (
            lambda x: LinearProbe(x, LABELS, x, LABELS, modality="audio"),
            ValueError,
            "one of image, text.*'audio'",
        ),
    ],
)
def test_callbacks_that_do_not_fit_are_refused(make, error, message):
    x = towers.pairs()["image"]
    with pytest.raises(error, match=message):
        fit(ContrastiveTrainer(towers.towers()), [make(x)], towers.pairs())


def test_a_model_without_encoders_is_refused():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    probe = KNNProbe(np.ones((24, 6)), LABELS, np.ones((24, 6)), LABELS)
    probe.set_model(model)
    with pytest.raises(
        TypeError, match=r"evaluates a `ContrastiveTrainer`. Received: `Sequential`.*Pass `embed`"
    ):
        probe.evaluate()
