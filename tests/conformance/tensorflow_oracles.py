"""Losses of TensorFlow Addons, TF Similarity and KerasCV, written to `tensorflow_losses.json`.

These packages are no longer developed. Their losses still run, without the rest of the packages:

pip install tensorflow==2.21.0 typeguard==2.13.3
pip install --no-deps tensorflow-addons==0.23.0 tensorflow-similarity==0.17.1 keras-cv==0.9.0
KERAS_BACKEND=tensorflow python -m tests.conformance.tensorflow_oracles
"""

import importlib.metadata
import json
import pathlib

import numpy as np

from tests.conformance import peers

FILE = pathlib.Path(__file__).with_name("tensorflow_losses.json")
PACKAGES = ("keras-cv", "tensorflow", "tensorflow-addons", "tensorflow-similarity")
ROWS, DIM, CLASSES = 24, 8, 6


def data():
    """Returns two views of unit length in float32, and labels."""
    views = np.random.default_rng(11).normal(size=(2, ROWS, DIM))
    views /= np.linalg.norm(views, axis=2, keepdims=True)
    return *views.astype("float32"), (np.arange(ROWS) % CLASSES).astype("int32")


def values():
    """Returns the value of each loss."""
    a, b, labels = data()
    mean = {"reduction": "sum_over_batch_size"}
    addons = peers.module("tensorflow_addons.losses.triplet")
    similarity = {
        name: peers.module(f"tensorflow_similarity.losses.{name}")
        for name in ("triplet_loss", "multisim_loss", "multinegrank_loss", "simclr")
    }
    keras_cv = peers.module("keras_cv.src.losses.simclr_loss")
    hard = similarity["triplet_loss"].TripletLoss("cosine", "hard", "hard", margin=0.3, **mean)
    # With this epsilon, no pair is left out.
    multi_similarity = similarity["multisim_loss"].MultiSimilarityLoss(
        "cosine", alpha=2, beta=40, epsilon=10.0, lmda=0.5, **mean
    )
    ranking = similarity["multinegrank_loss"].MultiNegativesRankLoss(scale=20, **mean)
    found = {
        "tfa TripletSemiHardLoss": addons.triplet_semihard_loss(labels, a, 0.5),
        "tfa TripletHardLoss": addons.triplet_hard_loss(labels, a, 0.5),
        "tfsim TripletLoss": hard(labels, a),
        "tfsim MultiSimilarityLoss": multi_similarity(labels, a),
        "tfsim SimCLRLoss": similarity["simclr"].SimCLRLoss(0.1)(a, b),
        "tfsim MultiNegativesRankLoss": ranking(a, b),
        "keras_cv SimCLRLoss": keras_cv.SimCLRLoss(0.1)(a, b),
    }
    return {name: float(np.mean(value)) for name, value in found.items()}


def main():
    content = {
        "command": "KERAS_BACKEND=tensorflow python -m tests.conformance.tensorflow_oracles",
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "values": values(),
    }
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
