"""Zero-shot classification, k-NN and linear probes equal scikit-learn on the same features."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize

from keras_contrastive.evaluation import knn_probe, linear_probe, softmax_regression, zero_shot


def clusters(seed, rows=90, classes=5, dim=7, noise=1.5):
    """Returns features near the center of their class, labels and centers. Class sizes differ."""
    rng = np.random.default_rng(seed)
    centers = 2 * np.random.default_rng(0).normal(size=(classes, dim))
    labels = np.concatenate(
        [np.arange(classes), rng.choice(classes, rows - classes, p=np.arange(1, classes + 1) / 15)]
    )
    return (centers[labels] + noise * rng.normal(size=(rows, dim))), labels, centers


@pytest.fixture
def data():
    features, labels, _ = clusters(1)
    new_features, new_labels, centers = clusters(2, rows=57)
    return features, labels, new_features, new_labels, centers


@pytest.mark.parametrize("tiles", [(19, 5)], indirect=True)
def test_zero_shot(data, tiles):
    *_, features, labels, centers = data
    classes = np.stack(
        [centers, centers + np.random.default_rng(3).normal(size=centers.shape)], axis=1
    )
    ensemble = normalize(classes[:, 0]) + normalize(classes[:, 1])
    scores = normalize(features) @ normalize(ensemble).T
    results = zero_shot(features, labels, classes, k=(1, 2, 3))
    for k in (1, 2, 3):
        expected = top_k_accuracy_score(labels, scores, k=k)
        assert results[f"top_{k}_accuracy"] == pytest.approx(expected)
    assert results["mean_class_accuracy"] == pytest.approx(
        balanced_accuracy_score(labels, scores.argmax(1))
    )
    assert 0.3 < results["top_1_accuracy"] < results["top_3_accuracy"] < 1


@pytest.mark.parametrize(
    ("temperature", "tiles"), [(0.07, (19, 30)), (1.0, None)], indirect=["tiles"]
)
def test_knn(data, tiles, temperature):
    features, labels, new_features, new_labels, _ = data

    def weights(distance):  # scikit-learn's distance is 1 - cosine.
        return np.exp((1 - distance) / temperature)

    theirs = KNeighborsClassifier(7, metric="cosine", weights=weights)
    theirs.fit(normalize(features), labels)
    probabilities = theirs.predict_proba(normalize(new_features))
    results = knn_probe(*data[:4], neighbors=7, temperature=temperature, k=(1, 2))
    assert results["top_1_accuracy"] == pytest.approx(
        theirs.score(normalize(new_features), new_labels)
    )
    # Unlike in scikit-learn, a class without votes ranks last.
    found = probabilities[np.arange(len(new_labels)), new_labels] > 0
    second = np.mean(
        found & (np.argsort(np.argsort(-probabilities))[np.arange(len(new_labels)), new_labels] < 2)
    )
    assert results["top_2_accuracy"] == pytest.approx(second)
    guesses = theirs.predict(normalize(new_features))
    assert results["mean_class_accuracy"] == pytest.approx(
        balanced_accuracy_score(new_labels, guesses)
    )


def regression(features, labels, C):  # noqa: N803
    return LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(
        features, labels
    )


@pytest.mark.parametrize("C", [1e-2, 1.0, 100.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_softmax_regression(data, C, classes):  # noqa: N803
    features, labels, new_features, new_labels, _ = data
    known, new = labels < classes, new_labels < classes
    theirs = regression(features[known], labels[known], C)
    # The error of the weights is about the gradient, 1e-9, over the curvature, 1 / (C * rows).
    mine = softmax_regression(features[known], labels[known], C, tolerance=1e-9)
    expected = theirs.predict_log_proba(new_features[new])
    np.testing.assert_allclose(mine(new_features[new]), expected, atol=1e-4)
    results = linear_probe(
        features[known], labels[known], new_features[new], new_labels[new], C=C, k=(1, 2)
    )
    assert results["top_1_accuracy"] == pytest.approx(
        theirs.score(new_features[new], new_labels[new])
    )
    entropy = log_loss(new_labels[new], np.exp(expected), labels=theirs.classes_)
    assert results["cross_entropy"] == pytest.approx(entropy, rel=1e-3)
    if classes > 2:
        assert results["top_2_accuracy"] == pytest.approx(
            top_k_accuracy_score(new_labels, expected, k=2)
        )


def test_softmax_regression_with_scaled_and_shifted_features(data):
    features, labels, new_features, _, _ = data
    scale, shift = np.logspace(-2, 2, features.shape[1]), 30.0
    theirs = regression(features * scale + shift, labels, 1.0)
    mine = softmax_regression(features * scale + shift, labels, tolerance=1e-8)
    new = new_features * scale + shift
    np.testing.assert_allclose(mine(new), theirs.predict_log_proba(new), atol=1e-3)


def test_few_shot_results_are_means_over_draws(data):
    features, labels, new_features, new_labels, _ = data
    results = linear_probe(*data[:4], shots=(1, 3), draws=4, seed=5)
    for shots in (1, 3):
        scores = []
        for draw in range(4):
            rng = np.random.default_rng([5, shots, draw])
            rows = [rng.choice(np.flatnonzero(labels == c), shots, replace=False) for c in range(5)]
            rows = np.concatenate(rows)
            theirs = regression(features[rows], labels[rows], 1.0)
            scores.append(theirs.score(new_features, new_labels))
        assert results[f"{shots}_shot_top_1_accuracy"] == pytest.approx(np.mean(scores))
        error = np.std(scores, ddof=1) / 2
        assert results[f"{shots}_shot_top_1_accuracy_error"] == pytest.approx(error)
    assert results["1_shot_top_1_accuracy"] < results["3_shot_top_1_accuracy"]
