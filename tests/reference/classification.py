"""Zero-shot and k-NN classification in float64, with loops over rows and classes."""

import numpy as np

from tests.reference.recall import cosine, rank


def accuracies(ranks, labels, k):
    """Returns the accuracies at `k`, and the mean of the top-1 accuracies of the classes."""
    ranks, labels = np.array(ranks), np.array(labels)
    per_class = [np.mean(ranks[labels == label] <= 1) for label in np.unique(labels)]
    results = {f"top_{n}_accuracy": np.mean(ranks <= n) for n in k}
    return results | {"mean_class_accuracy": np.mean(per_class)}


def zero_shot(embeddings, labels, classes, k):
    ranks = []
    for row, label in zip(embeddings, labels, strict=True):
        is_wrong = [number != label for number in range(len(classes))]
        ranks.append(rank(row, cosine(row, classes[label]), classes, is_wrong))
    return accuracies(ranks, labels, k)


def knn_probe(features, labels, new_features, new_labels, neighbors, temperature, k):
    """Votes are sums of softmax weights, in logarithms. A class without votes ranks last."""
    ranks = []
    for row, label in zip(new_features, new_labels, strict=True):
        cosines = np.array([cosine(row, other) for other in features])
        nearest = np.argsort(-cosines, kind="stable")[:neighbors]
        votes = {int(other): -np.inf for other in np.unique(labels)}
        for other in nearest:
            logit = 0.0 if temperature is None else cosines[other] / temperature
            votes[int(labels[other])] = np.logaddexp(votes[int(labels[other])], logit)
        mine = votes.get(int(label), -np.inf)
        behind = sum(vote < mine for vote in votes.values())
        ranks.append(len(votes) - behind if label in votes else np.iinfo("int32").max)
    return accuracies(ranks, new_labels, k)
