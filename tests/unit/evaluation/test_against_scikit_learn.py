"""Zero-shot classification, k-NN and linear probes equal scikit-learn on the same features."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize

from keras_contrastive.evaluation import knn_probe, linear_probe, zero_shot


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
    results = knn_probe(*data[:4], n_neighbors=7, temperature=temperature, k=(1, 2))
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
def test_linear_probe(data, C, classes):  # noqa: N803
    features, labels, new_features, new_labels, _ = data
    known, new = labels < classes, new_labels < classes
    theirs = regression(features[known], labels[known], C)
    expected = theirs.predict_log_proba(new_features[new])
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


def test_linear_probe_of_scaled_and_shifted_features(data):
    features, labels, new_features, new_labels, _ = data
    scale, shift = np.logspace(-1, 1, features.shape[1]), 30.0
    theirs = regression(features * scale + shift, labels, 1.0)
    new = new_features * scale + shift
    results = linear_probe(features * scale + shift, labels, new, new_labels)
    expected = log_loss(new_labels, theirs.predict_proba(new))
    assert results["cross_entropy"] == pytest.approx(expected, rel=1e-3)


# With seed 0, the cross-entropy decides between equal accuracies. With seed 2, both disagree.
@pytest.mark.parametrize("seed", [0, 2])
def test_selected_regularization(data, seed):
    features, labels, *_ = data
    features[:, 1:] += 4 * np.random.default_rng(1).normal(size=features[:, 1:].shape)
    rng, held = np.random.default_rng(seed), np.zeros(len(labels), bool)
    for label in range(5):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held[rows[: max(1, round(len(rows) / 5))]] = True
    scores = {}
    for C in 10.0 ** np.arange(-5, 6):  # noqa: N806
        theirs = regression(features[~held], labels[~held], C)
        entropy = log_loss(labels[held], theirs.predict_proba(features[held]), labels=range(5))
        scores[theirs.score(features[held], labels[held]), -entropy] = C
    best = scores[max(scores)]
    results = linear_probe(*data[:4], C="auto", seed=seed)
    assert results.pop("C") == best
    assert 1e-5 < best < 1e5
    assert results == pytest.approx(linear_probe(*data[:4], C=best), rel=1e-4)


def test_neighbors_exclude_the_row_itself(data):
    features, labels, *_ = data
    units = normalize(features)
    units = np.concatenate([units, units[:7]])  # Equal rows are neighbors of each other.
    labels = np.concatenate([labels, labels[:7]])
    theirs = KNeighborsClassifier(5, metric="cosine")
    right = []
    for row in range(len(labels)):
        others = np.arange(len(labels)) != row
        theirs.fit(units[others], labels[others])
        votes = theirs.predict_proba(units[row : row + 1])[0]
        mine = votes[theirs.classes_ == labels[row]][0]
        right.append(np.sum(votes >= mine) == 1)
    results = knn_probe(units, labels, n_neighbors=5, temperature=None)
    assert results["top_1_accuracy"] == pytest.approx(np.mean(right))


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
