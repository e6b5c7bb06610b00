"""Triplet: the published formulas, mining in blocks, and batches without triplets."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.config import set_tile_shape
from keras_contrastive.losses import Triplet
from tests.helpers import normal
from tests.helpers.backend import FASTEST, gradients, to_numpy, value_and_gradients
from tests.reference.differences import numeric_gradient
from tests.reference.losses import triplet

LABELS = np.array([2, 0, 2, 1, 0, 2, 1, 5, 0])  # label 5 has one row
PAIRED = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])


def distances_of(z, squared):
    """Euclidean distances of all rows, in float64."""
    z = np.asarray(z, "float64")
    squares = np.square(z[:, None] - z[None]).sum(axis=2)
    return squares if squared else np.sqrt(squares)


def semi_hard_of_addons(z, labels, margin, squared):
    """`tfa.losses.TripletSemiHardLoss`: the mean over all ordered pairs of one label."""
    d = distances_of(z, squared)
    costs = []
    for a, p in itertools.permutations(range(len(z)), 2):
        if labels[a] == labels[p]:
            negatives = d[a][labels != labels[a]]
            outside = negatives[negatives > d[a, p]]
            chosen = outside.min() if len(outside) else negatives.max()
            costs.append(max(margin + d[a, p] - chosen, 0.0))
    return np.mean(costs)


def hard_of_addons(z, labels, margin, squared):
    """`tfa.losses.TripletHardLoss`, and PML's `BatchHardMiner` with the mean over anchors."""
    d = distances_of(z, squared)
    same = labels[:, None] == labels[None]
    farthest = np.where(same, d, 0.0).max(axis=1)  # of itself, the distance is 0
    return np.maximum(farthest - np.where(same, np.inf, d).min(axis=1) + margin, 0.0).mean()


@pytest.mark.parametrize(
    ("mining", "labels", "published"),
    [("semi_hard", LABELS, semi_hard_of_addons), ("hard", PAIRED, hard_of_addons)],
    ids=["semi-hard", "hard"],
)
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
def test_value_and_gradient_equal_the_formulas_of_addons(mining, labels, published, distance):
    z = normal(9, 4, seed=3)
    loss = Triplet(1.0, mining, distance, normalize=False)
    value, (found,) = value_and_gradients(lambda z: loss(labels, z), z, **FASTEST)
    arguments = labels, 1.0, distance == "squared_euclidean"
    assert value == pytest.approx(published(z, *arguments), rel=1e-5)
    expected = numeric_gradient(lambda x: published(x, *arguments), z)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
@pytest.mark.parametrize("mining", ["semi_hard", "hard", "all"])
def test_losses_of_anchors_equal_the_reference(mining, distance, views):
    z = normal(views, 9, 4, seed=5)
    loss = Triplet(0.7, mining, distance, reduction=None)
    expected = triplet(
        z, LABELS, 1.0, margin=0.7, mining=mining, squared=distance == "squared_euclidean"
    )
    found = to_numpy(loss(LABELS, z[0] if views == 1 else list(z)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_value_of_unit_rows_does_not_depend_on_normalize():
    z = normal(9, 4)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    values = [float(Triplet(normalize=normalize)(LABELS, z)) for normalize in (True, False)]
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    assert values[0] == pytest.approx(semi_hard_of_addons(z, LABELS, 1.0, False), rel=1e-5)


def test_squared_distance_of_unit_rows_is_twice_the_cosine_distance():
    # The loss of VSE++ with a margin of 0.2 between cosines.
    a, b = normal(2, 6, 4)
    a, b = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (a, b))
    cosines = a @ b.T
    hardest = np.where(np.eye(6) > 0, -np.inf, cosines).max(axis=1)
    expected = np.maximum(hardest - np.diag(cosines) + 0.2, 0.0)
    loss = Triplet(0.4, "hard", "squared_euclidean", symmetric=False, reduction=None)
    np.testing.assert_allclose(to_numpy(loss(None, (a, b))), 2 * expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("mining", "distance"),
    [
        ("semi_hard", "euclidean"),
        ("all", "squared_euclidean"),
        ("semi_hard", "squared_euclidean"),
        ("hard", "euclidean"),
    ],
)
def test_blocks_change_neither_value_nor_gradient(mining, distance):
    z, hard = normal(9, 3), normal(4, 3, seed=9)
    weights = np.linspace(0, 2, 9).astype("float32")
    present = np.arange(9) != 4
    loss = Triplet(1.0, mining, distance)

    def weighted(z, hard):
        negatives = {0: (hard, np.array([2, 7, 8, 0]))}
        return loss(LABELS, z, weights, hard_negatives=negatives, present={0: present})

    results = []
    for shape in (None, (5, 6), (1, 1)):  # the whole batch, two anchors and one anchor at a time
        set_tile_shape(shape)
        results.append(value_and_gradients(weighted, z, hard, **FASTEST))
    (value, expected), *others = results
    for other, found in others:
        assert other == pytest.approx(value, rel=1e-5)
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-6)
    assert np.abs(expected[0]).max() > 1e-3


@pytest.mark.parametrize("mining", ["semi_hard", "hard", "all"])
def test_batches_without_triplets_and_equal_rows_have_finite_gradients(mining):
    loss = Triplet(0.5, mining)
    value_of = lambda labels: lambda z: loss(np.array(labels), z)  # noqa: E731
    z = normal(4, 3)
    for labels in ([1, 1, 1, 1], [0, 1, 2, 3]):  # one label; no positive
        value, (found,) = value_and_gradients(value_of(labels), z, **FASTEST)
        assert value == 0
        np.testing.assert_array_equal(found, 0)
    for rows in (z[:1].repeat(4, axis=0), z[[0, 0, 1, 1]]):
        value, (found,) = value_and_gradients(value_of([0, 1, 0, 1]), rows, **FASTEST)
        assert np.isfinite(found).all()
    # The positive of each row is as far as a negative, or farther.
    assert value >= 0.5
    assert float(loss(np.array([0, 1, 0, 1]), z[:1].repeat(4, axis=0))) == pytest.approx(0.5)


def test_a_negative_as_far_as_the_positive_is_not_farther():
    # From the first row, the positive and a negative are at 90 degrees, another one at 180.
    z = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]], "float32")
    loss = Triplet(1.0, reduction=None)
    expected = np.sqrt(2) - 2 + 1
    found = to_numpy(loss(np.array([0, 0, 1, 2]), z))
    assert found[0] == pytest.approx(2 * expected, rel=1e-5)  # two pairs among four anchors


def test_pairs_without_a_root_gradient_leave_other_gradients_as_they_are():
    # The positives coincide. Only the negatives have a gradient.
    z = np.array([[1, 0], [1, 0], [0, 1]], "float32")
    (found,) = gradients(lambda z: Triplet(2.0, "hard")(np.array([0, 0, 1]), z), z, **FASTEST)
    assert np.isfinite(found).all()
    assert np.abs(found[2]).max() > 0.1


@pytest.mark.slow_to_compile
def test_trains_a_plain_model_on_labels_and_survives_saving(tmp_path):
    labels = np.arange(60) % 3
    x = (np.eye(3)[labels] + 0.7 * normal(60, 3)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.02), Triplet(0.5, mining="hard"))
    losses = model.fit(x, labels, batch_size=20, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert repr(loaded.loss) == "Triplet(margin=0.5, mining='hard')"
    assert loaded.evaluate(x, labels, verbose=0) == pytest.approx(
        model.evaluate(x, labels, verbose=0), rel=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"margin": 0.0}, ValueError, "`margin` must be a positive, finite number"),
        ({"margin": np.nan}, ValueError, "`margin` must be a positive, finite number"),
        ({"margin": "soft"}, TypeError, "`margin` must be a positive, finite number"),
        ({"mining": "semihard"}, ValueError, "`mining` must be .*Received: mining='semihard'"),
        ({"distance": "L2"}, ValueError, "`distance` must be .*Received: distance='L2'"),
        ({"temperature": 0.1}, TypeError, "no argument `temperature`.*Set `margin`"),
    ],
)
def test_wrong_arguments_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        Triplet(**arguments)


def test_low_precision_is_compared_in_float32():
    z = normal(9, 4)
    exact = float(Triplet()(LABELS, ops.cast(ops.cast(z, "bfloat16"), "float32")))
    assert float(Triplet()(LABELS, ops.cast(z, "bfloat16"))) == exact
