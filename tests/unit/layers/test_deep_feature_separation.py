"""Deep feature separation: numbers of the specification, the heads, and the forms of its terms."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.layers import DeepFeatureSeparation
from tests.contracts.regularizer_cases import (
    NAMES,
    built,
    independent_features,
    random_views,
    separation,
)
from tests.helpers.backend import to_numpy
from tests.reference import structures as reference


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("joint", 0.8258640190215094),
        ("separate", 0.2573797111833659),
        ("distinct", -6.02367807842441),
    ],
)
def test_terms_equal_the_numbers_of_the_specification(form, value):
    views = {name: np.array(reference.PAPER[name], "float32") for name in ("image", "text")}
    for name, rows in reference.PAPER_INDEPENDENT.items():
        views[f"{name}_independent"] = np.array(rows, "float32")
    layer = DeepFeatureSeparation(contrast=0.0, uniformity_form=form)
    terms = layer.penalty_and_terms(views)[1]
    assert set(terms) == {"orthogonality", "uniformity"}
    assert float(terms["orthogonality"]) == pytest.approx(0.07407407407407408, rel=1e-5)
    assert float(terms["uniformity"]) == pytest.approx(value, rel=1e-5)


def test_uniformity_per_pair_is_divided_by_the_batch_once_more():
    rows = random_views()["a"]
    views = {"a": rows, "a_independent": rows}
    per_item, per_pair = (
        float(DeepFeatureSeparation(0.0, 0.0, per_pair=per_pair).penalty(views))
        for per_pair in (False, True)
    )
    assert per_item == pytest.approx(reference.uniformity([rows]), rel=1e-5)
    assert per_pair == pytest.approx(per_item - np.log(7), rel=1e-5)


def test_independent_features_are_returned_by_name():
    views = random_views(names=["a", "b"])
    layer = built(DeepFeatureSeparation(contrast=0.0), views)
    outputs, expected = layer.extended(views), independent_features(layer, views)
    for name in "ab":
        found = to_numpy(outputs[f"{name}_independent"])
        np.testing.assert_allclose(found, expected[name], rtol=1e-4, atol=1e-5)
        assert layer.is_independent(f"{name}_independent")


@pytest.mark.parametrize(
    ("depth", "units", "shapes"),
    [
        (1, None, [(4, 4)]),
        (2, None, [(4, 4), (4, 4)]),
        (3, 6, [(4, 6), (6, 6), (6, 4)]),
    ],
)
def test_heads_have_the_given_depth_and_width(depth, units, shapes):
    views = random_views()
    layer = built(DeepFeatureSeparation(depth=depth, units=units), views)
    assert [tuple(dense.kernel.shape) for dense in layer.heads["a"].layers] == shapes
    # An augmented view shares the head of its modality.
    assert set(layer.heads) == {"a", "b"}


def test_heads_can_use_the_features_before_the_projector():
    views = random_views(names=["a", "b"])
    features = random_views(dim=9, names=["a", "b"], seed=4)
    layer = DeepFeatureSeparation(contrast=0.0, source="features")
    outputs = layer(views, features=features)
    expected = independent_features(layer, features)
    found = to_numpy(outputs["a_independent"])
    np.testing.assert_allclose(found, expected["a"], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="`features` must contain a, b"):
        layer.penalty(views)


@pytest.mark.parametrize("source", ["embedding", "features"])
def test_nan_in_missing_rows_does_not_reach_the_weights_of_the_heads(source):
    views = random_views(names=["a", "b"])
    present = np.array([True, False, True, True, True, False, True])
    views["a"][~present] = np.nan
    inputs = {name: keras.Input((4,), name=name) for name in views}
    mask = keras.Input((), dtype="bool", name="has_a")
    layer = DeepFeatureSeparation(contrast=0.0, source=source)
    features = inputs if source == "features" else None
    outputs = layer(inputs, features=features, present={"a": mask})
    model = keras.Model({**inputs, "has_a": mask}, outputs)
    model.compile("sgd")
    before = to_numpy(model.trainable_weights[0]).copy()
    model.fit({**views, "has_a": present}, batch_size=7, verbose=0)
    for weight in model.trainable_weights:
        assert np.all(np.isfinite(to_numpy(weight)))
    assert np.any(to_numpy(model.trainable_weights[0]) != before)


def test_rows_with_the_same_id_are_not_negatives_of_each_other():
    views = random_views()
    repeated = {name: np.concatenate([view, view]) for name, view in views.items()}
    layer = built(DeepFeatureSeparation(orthogonality=0.0, uniformity=0.0), views)
    ids = ops.convert_to_tensor(np.tile(np.arange(7, dtype="int32"), 2))
    single, without_ids = float(layer.penalty(views)), float(layer.penalty(repeated))
    with_ids = float(layer.penalty(repeated, ids=ids))
    assert without_ids > single + 0.5
    # With ids, each negative occurs twice and the positive once.
    assert single < with_ids < without_ids


def test_distinct_uniformity_leaves_out_pairs_with_the_same_id():
    rows = random_views()["a"]
    layer = DeepFeatureSeparation(0.0, 0.0, uniformity_form="distinct")
    once = float(layer.penalty({"a": rows, "a_independent": rows}))
    twice = np.concatenate([rows, rows])
    views, ids = {"a": twice, "a_independent": twice}, np.tile(np.arange(7), 2)
    assert float(layer.penalty(views, ids=ids)) == pytest.approx(once, rel=1e-5)
    assert float(layer.penalty(views)) > once + 0.01
    present = {"a": np.arange(14) < 7}
    assert float(layer.penalty(views, ids=ids, present=present)) == pytest.approx(once, rel=1e-5)


def test_ids_in_an_array_must_be_in_range():
    views = random_views()
    layer = built(DeepFeatureSeparation(), views)
    for ids in (np.arange(7) * 2**32, np.arange(7) - 1):
        with pytest.raises(ValueError, match=r"`ids` must be in \[0, 2\*\*31\)"):
            layer.penalty(views, ids=ids)


def test_terms_add_up_over_three_modalities():
    views = random_views(names=[*NAMES, "c", "c_augmented"])
    layer = built(DeepFeatureSeparation(), views)
    assert float(layer.penalty(views)) == pytest.approx(separation(layer, views), rel=2e-5)


def test_contrast_with_itself_is_the_printed_equation():
    views = random_views(names=["a", "b"])
    layer = DeepFeatureSeparation(orthogonality=0.0, uniformity=0.0, contrast_with="itself")
    independent = independent_features(built(layer, views), views)
    expected = sum(reference.in_modal_contrast(rows, rows, 0.1) for rows in independent.values())
    assert float(layer.penalty(views)) == pytest.approx(expected, rel=1e-4)


def test_contrast_without_an_augmented_view_raises():
    with pytest.raises(ValueError, match=r"must contain an augmented view .* Received: a, b"):
        DeepFeatureSeparation().penalty(random_views(names=["a", "b"]))


def test_views_with_independent_features_keep_their_places_in_a_functional_model():
    names = ("image", "image_independent", "text")
    inputs = {name: keras.Input((3,), name=name) for name in names}
    layer = DeepFeatureSeparation(contrast=0.0)
    model = keras.Model(inputs, layer(inputs))
    x = {name: np.full((4, 3), value, "float32") for value, name in enumerate(names)}
    found = model(x)
    assert set(found) == {*names, "text_independent"}
    for name in names:
        np.testing.assert_array_equal(to_numpy(found[name]), x[name])
