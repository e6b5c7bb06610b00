"""Losses of other libraries equal ours, as the tables in `docs/agreement.md` state."""

import json
import re

import numpy as np
import pytest

from keras_contrastive import losses
from tests.conformance import tensorflow_oracles
from tests.conformance.loss_cases import CASES, data, global_contrastive
from tests.helpers.backend import to_numpy
from tests.helpers.markdown import ROOT, read

EQUAL = "equal"
FILE = json.loads(tensorflow_oracles.FILE.read_text(encoding="utf-8"))


def rows(library):
    """Returns the cells of the rows of the tables whose first cell fits a pattern."""
    lines = re.findall(r"^\| (.*) \|$", read(ROOT / "docs" / "agreement.md"), flags=re.MULTILINE)
    cells = [line.split(" | ") for line in lines]
    return [row for row in cells if re.fullmatch(library, row[0])]


LIVE = rows("|".join({library for library, _, _ in CASES}))
FROM_FILE = rows("tfa|tfsim|keras_cv")
OURS = {
    "tfa TripletSemiHardLoss": lambda a, b, labels: losses.Triplet(0.5)(labels, a),
    "tfa TripletHardLoss": lambda a, b, labels: losses.Triplet(0.5, "hard")(labels, a),
    # With unit length, the squared distance is twice the distance of the cosine.
    "tfsim TripletLoss": lambda a, b, labels: (
        losses.Triplet(0.6, "hard", "squared_euclidean")(labels, a) / 2
    ),
    "tfsim MultiSimilarityLoss": lambda a, b, labels: losses.MultiSimilarity(2, 40, 0.5)(labels, a),
    "tfsim SimCLRLoss": lambda a, b, labels: 2 * losses.NTXent(0.1)(None, (a, b)),
    "tfsim MultiNegativesRankLoss": lambda a, b, labels: losses.InfoNCE(0.05, symmetric=False)(
        None, (a, b)
    ),
    "keras_cv SimCLRLoss": lambda a, b, labels: 2 * losses.NTXent(0.1)(None, (a, b)),
}


def test_the_tables_have_a_row_for_each_case():
    assert [tuple(row[:3]) for row in LIVE] == list(CASES)
    stored = [f"{row[0]} {re.findall('[A-Z]+[a-z]+[A-Za-z]*', row[1])[0]}" for row in FROM_FILE]
    assert stored == list(OURS) == list(FILE["values"])


@pytest.mark.parametrize("name", OURS)
def test_values_equal_those_of_packages_for_older_keras(name):
    found = to_numpy(OURS[name](*tensorflow_oracles.data()))
    # The products of TF Similarity are those of TensorFlow's CPU kernels in float32.
    assert float(found) == pytest.approx(FILE["values"][name], rel=1e-5)


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def value_and_gradient(loss, views):
    import torch

    parts = torch.autograd.grad(loss, views, retain_graph=True, materialize_grads=True)
    return np.array(loss.item()), torch.cat(parts).numpy()


@pytest.mark.conformance
@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # of lightly
@pytest.mark.parametrize("tiles", [None, (8, 16)], indirect=True)
@pytest.mark.parametrize("row", LIVE, ids=[f"{row[0]} {row[1]}" for row in LIVE])
def test_values_and_gradients_are_as_the_table_states(row, tiles):
    import torch

    a, b, labels = data()
    views = [torch.tensor(view, requires_grad=True) for view in (a, b)]
    theirs, ours = CASES[tuple(row[:3])](*views, labels)
    expected, found = (value_and_gradient(loss, views) for loss in (theirs, ours))
    for cell, error in zip(row[3:5], map(relative, found, expected), strict=True):
        assert (error < 1e-5) if cell == EQUAL else (error > 1e-3), (cell, error)


@pytest.mark.conformance
def test_a_gamma_copied_into_the_momentum_gives_other_gradients():
    import torch

    a, b, labels = data()
    views = [torch.tensor(view, requires_grad=True) for view in (a, b)]
    theirs, ours = global_contrastive(*views, labels, momentum=0.9, gamma=0.9)
    (_, expected), (_, found) = (value_and_gradient(loss, views) for loss in (theirs, ours))
    assert relative(found, expected) > 0.1
