"""Geometric consistency: the numbers of the specification, invariances, and accuracy near zero."""

import keras
import numpy as np
import pytest

from keras_contrastive.layers import GeometricConsistency
from tests.contracts.regularizer_cases import NAMES, random_views
from tests.reference import structures as reference

PAPER = {name: np.array(rows, "float32") for name, rows in reference.PAPER.items()}


def test_terms_equal_the_numbers_of_the_specification():
    terms = GeometricConsistency().penalty_and_terms(PAPER)[1]
    consistency = float(terms["cross_modal"] + terms["in_modal"])
    augmented = float(terms["augmented"] + terms["augmented_pairs"])
    assert consistency == pytest.approx(0.5208066837052346, rel=1e-5)
    assert augmented == pytest.approx(0.3459100475972599, rel=1e-5)


def test_cyclip_is_a_setting():
    a, b = (random_views()[name] for name in "ab")
    expected = 0.25 * (reference.cross_modal(a, b) + reference.in_modal(a, b))
    value = float(GeometricConsistency(0.25, 0.25, 0, 0).penalty({"a": a, "b": b}))
    assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("rows", "dim"), [(5, 16), (48, 8)], ids=["rows < dim", "rows > dim"])
@pytest.mark.parametrize("distance", [1.0, 1e-3])
def test_terms_keep_their_digits_near_zero(rows, dim, distance):
    generator = np.random.default_rng(1)
    a = reference.units(generator.normal(size=(rows, dim)))
    noise = {name: generator.normal(size=a.shape) / dim**0.5 for name in NAMES[1:]}
    views = {"a": a} | {name: a + distance * x for name, x in noise.items()}
    views = {name: reference.units(view).astype("float32") for name, view in views.items()}
    terms = GeometricConsistency(normalize=False).penalty_and_terms(views)[1]
    a, b, new_a, new_b = (np.asarray(views[name], "float64") for name in NAMES)
    augmented = sum(((x @ x.T - y @ y.T) ** 2).sum() for x, y in ((a, new_a), (b, new_b)))
    expected = {
        "cross_modal": ((a @ b.T - b @ a.T) ** 2).sum() / rows,
        "in_modal": ((a @ a.T - b @ b.T) ** 2).sum() / rows,
        "augmented": augmented / rows,
        "augmented_pairs": np.mean(((a * b).sum(1) - (new_a * new_b).sum(1)) ** 2),
    }
    # At a distance of 1e-3 the terms are a millionth of those at a distance of 1.
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(("rows", "dim"), [(5, 16), (48, 8)], ids=["rows < dim", "rows > dim"])
def test_only_the_cross_modal_term_changes_if_modalities_are_rotated_differently(rows, dim):
    generator = np.random.default_rng(2)
    views = {name: reference.units(generator.normal(size=(rows, dim))) for name in NAMES}
    first, second = (np.linalg.qr(generator.normal(size=(dim, dim)))[0] for _ in range(2))

    def terms(rotation_a, rotation_b):
        rotated = {
            name: (view @ (rotation_a if name[0] == "a" else rotation_b)).astype("float32")
            for name, view in views.items()
        }
        terms = GeometricConsistency().penalty_and_terms(rotated)[1]
        return {name: float(x) for name, x in terms.items()}

    original, together = terms(np.eye(dim), np.eye(dim)), terms(first, first)
    apart = terms(first, second)
    assert together == pytest.approx(original, rel=1e-4)
    assert apart["in_modal"] == pytest.approx(original["in_modal"], rel=1e-4)
    assert apart["augmented"] == pytest.approx(original["augmented"], rel=1e-4)
    assert abs(apart["cross_modal"] / original["cross_modal"] - 1) > 1e-3


def test_per_pair_does_not_grow_with_the_batch():
    views = random_views()
    repeated = {name: np.concatenate([view] * 5) for name, view in views.items()}
    per_pair, per_item = GeometricConsistency(per_pair=True), GeometricConsistency()
    assert float(per_pair.penalty(repeated)) == pytest.approx(
        float(per_pair.penalty(views)), rel=1e-4
    )
    assert float(per_item.penalty(repeated)) > 2 * float(per_item.penalty(views))


def test_terms_of_augmented_views_are_zero_without_augmented_views():
    terms = GeometricConsistency().penalty_and_terms(random_views(names=["a", "b"]))[1]
    assert float(terms["augmented"]) == float(terms["augmented_pairs"]) == 0
    assert float(terms["in_modal"]) > 0


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 by default")
def test_penalty_has_the_precision_of_the_views():
    views = {name: rows.astype("float64") for name, rows in random_views(names=["a", "b"]).items()}
    keras.config.set_floatx("float64")
    try:
        penalty = GeometricConsistency(dtype="float64").penalty(views)
    finally:
        keras.config.set_floatx("float32")
    expected = GeometricConsistency().penalty(random_views(names=["a", "b"]))
    assert float(penalty) == pytest.approx(float(expected), rel=1e-5)


def test_penalty_of_three_modalities_is_the_mean_over_pairs():
    views = random_views(names=["a", "b", "c"])
    layer = GeometricConsistency()
    pairs = [float(layer.penalty({x: views[x], y: views[y]})) for x, y in ("ab", "ac", "bc")]
    assert float(layer.penalty(views)) == pytest.approx(np.mean(pairs), rel=1e-5)
