"""The three regularizers against loops in float64, and what each of them promises."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.layers import BrownianBridge, DeepFeatureSeparation, GeometricConsistency
from tests.helpers.backend import compiled, gradients, to_numpy
from tests.helpers.towers import settle
from tests.reference import structures as reference
from tests.reference.structures import PAPER, PAPER_INDEPENDENT

ALL = ["a", "b", "a_augmented", "b_augmented"]
MODALITIES = {"a": "image", "b": "text"}
RENAMED = {
    f"{a}{suffix}": PAPER[f"{b}{suffix}"]
    for a, b in MODALITIES.items()
    for suffix in ("", "_augmented")
}


def random_views(rows=7, dim=4, seed=0, names=ALL, scale=1.0):
    rng = np.random.default_rng(seed)
    return {name: scale * rng.normal(size=(rows, dim)).astype("float32") for name in names}


def settled(layer, views):
    """The layer with weights that do not depend on the backend's own initializers."""
    layer.build({name: view.shape for name, view in views.items()})
    return settle(layer)


def independent(layer, views):
    """The heads of a `DeepFeatureSeparation`, by hand and in float64."""
    found = {}
    for name, view in views.items():
        x = np.asarray(view, "float64")
        *hidden, last = layer.heads[name.removesuffix("_augmented")].layers
        for dense in hidden:
            x = np.maximum(x @ to_numpy(dense.kernel) + to_numpy(dense.bias), 0)
        found[name] = x @ to_numpy(last.kernel) + to_numpy(last.bias)
    return found


def separation(layer, views):
    own = independent(layer, views)
    plain = [name for name in views if not name.endswith("_augmented")]
    return (
        sum(reference.orthogonality(views[name], own[name]) for name in plain)
        + sum(
            reference.in_modal_contrast(own[name], own[f"{name}_augmented"], 0.1) for name in plain
        )
        + reference.uniformity([own[name] for name in plain])
    )


def geometry(layer, views):
    a, b, augmented_a, augmented_b = (views[name] for name in ALL)
    return (
        reference.cross_modal(a, b)
        + reference.in_modal(a, b)
        + reference.in_modal(a, augmented_a)
        + reference.in_modal(b, augmented_b)
        + reference.paired(a, b, augmented_a, augmented_b)
    )


def bridge(layer, views):
    a, b, augmented_a, augmented_b = (views[name] for name in ALL)
    return (
        reference.brownian_bridge(a, b, augmented_a, 0.25)
        + reference.brownian_bridge(b, a, augmented_b, 0.25)
    ) / 2


LAYERS = {
    "GeometricConsistency": (GeometricConsistency, geometry),
    "BrownianBridge": (BrownianBridge, bridge),
    "DeepFeatureSeparation": (DeepFeatureSeparation, separation),
}
each_layer = pytest.mark.parametrize(("make", "expected"), LAYERS.values(), ids=LAYERS.keys())


# The contract


@each_layer
@pytest.mark.parametrize(("rows", "dim"), [(7, 4), (3, 8), (1, 3)])
def test_value_equals_the_reference(make, expected, rows, dim):
    views = random_views(rows, dim)
    layer = settled(make(), views)
    assert float(layer.penalty(views)) == pytest.approx(expected(layer, views), rel=2e-5, abs=1e-6)


@each_layer
@pytest.mark.parametrize("rows", [3, 7])
def test_gradients_equal_differences_of_the_reference(make, expected, rows):
    views = random_views(rows)
    layer = settled(make(), views)
    found = gradients(
        lambda *values: layer.penalty(dict(zip(ALL, values, strict=True))), *views.values()
    )
    for name, gradient in zip(ALL, found, strict=True):
        for place in [(0, 0), (1, 2), (rows - 1, 3)]:
            values = []
            for step in (1e-6, -1e-6):
                moved = {key: np.asarray(view, "float64").copy() for key, view in views.items()}
                moved[name][place] += step
                values.append(expected(layer, moved))
            assert gradient[place] == pytest.approx(
                (values[0] - values[1]) / 2e-6, rel=2e-3, abs=1e-5
            )


@each_layer
def test_compiled_for_any_batch_size_is_eager(make, expected):
    layer = settled(make(), random_views())
    evaluate = compiled(lambda *values: layer.penalty(dict(zip(ALL, values, strict=True))))
    for rows in (1, 4, 7):
        views = random_views(rows, seed=rows)
        found = float(evaluate(*map(ops.convert_to_tensor, views.values())))
        assert found == pytest.approx(expected(layer, views), rel=2e-5, abs=1e-6)


@each_layer
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e15])
def test_extreme_rows_give_finite_values_and_gradients(make, expected, scale):
    views = random_views(scale=scale)
    layer = settled(make(), views)
    found = gradients(
        lambda *values: layer.penalty(dict(zip(ALL, values, strict=True))), *views.values()
    )
    assert np.isfinite(float(layer.penalty(views)))
    assert all(np.all(np.isfinite(gradient)) for gradient in found)


@each_layer
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_views_are_penalised_in_float32(make, expected, dtype):
    views = {name: ops.cast(view, dtype) for name, view in random_views(40).items()}
    keras.config.set_dtype_policy(f"mixed_{dtype}")
    layer = settled(make(), views)
    value = layer.penalty(views)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    rounded = {name: to_numpy(ops.cast(view, "float32")) for name, view in views.items()}
    assert float(value) == pytest.approx(
        expected(layer, rounded), rel=3e-2 if make is DeepFeatureSeparation else 1e-5
    )


@each_layer
def test_rows_that_lack_a_modality_do_not_count(make, expected):
    views = random_views(9)
    layer = settled(make(), views)
    there = np.array([True, False, True, True, True, False, True, True, True])
    present = {"a": ops.convert_to_tensor(there), "b": ops.convert_to_tensor(there)}
    left = {name: view[there] for name, view in views.items()}
    assert float(layer.penalty(views, present=present)) == pytest.approx(
        expected(layer, left), rel=2e-5
    )
    nobody = {name: ops.zeros((9,), dtype="bool") for name in ("a", "b")}
    assert float(layer.penalty(views, present=nobody)) == 0


@each_layer
def test_config_round_trip_keeps_every_argument(make, expected):
    layer = make(weight=0.5, name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    assert (again.weight, again.name, again.term_weights) == (0.5, "mine", layer.term_weights)


@each_layer
def test_in_a_functional_model_the_penalty_is_added_and_the_views_come_back(
    make, expected, tmp_path
):
    views = random_views(8)
    inputs = {name: keras.Input((4,), name=name) for name in ALL}
    layer = make(weight=0.5)
    model = keras.Model(inputs, layer(inputs))
    settle(layer)
    outputs = model(views)
    assert set(outputs) >= set(ALL)
    np.testing.assert_array_equal(to_numpy(outputs["a"]), views["a"])
    assert float(sum(model.losses)) == pytest.approx(0.5 * expected(layer, views), rel=2e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded(views)
    assert float(sum(loaded.losses)) == pytest.approx(float(sum(model.losses)), rel=1e-6)


@each_layer
def test_bad_views_and_weights_are_refused(make, expected):
    with pytest.raises(TypeError, match="must be a dict"):
        make().penalty(np.zeros((3, 2), "float32"))
    with pytest.raises(TypeError, match="floating point"):
        make().penalty({"a": np.zeros((3, 2), "int32")})
    with pytest.raises(ValueError, match="same shape"):
        make().penalty({"a": np.zeros((3, 2), "float32"), "b": np.zeros((3, 4), "float32")})
    with pytest.raises(ValueError, match="without 'a'"):
        make().penalty(
            {"b": np.zeros((3, 2), "float32"), "a_augmented": np.zeros((3, 2), "float32")}
        )
    with pytest.raises(ValueError, match="Received also: c"):
        make().penalty(random_views(), present={"c": ops.ones((7,), dtype="bool")})
    for weight in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="non-negative"):
            make(weight=weight)


# The numbers of the specification


def test_geometric_consistency_of_the_paper():
    terms = GeometricConsistency().penalty_and_terms(RENAMED_ARRAYS)[1]
    assert float(terms["cross_modal"] + terms["in_modal"]) == pytest.approx(
        0.5208066837052346, rel=1e-5
    )
    assert float(terms["augmented"] + terms["augmented_pairs"]) == pytest.approx(
        0.3459100475972599, rel=1e-5
    )


def test_brownian_bridge_of_the_paper():
    layer = BrownianBridge(modalities="a")
    assert float(layer.penalty(RENAMED_ARRAYS)) == pytest.approx(0.22454113470710912, rel=1e-5)
    assert float(layer.penalty(RENAMED_ARRAYS)) != pytest.approx(
        0.9019189237602275, rel=1e-2
    )  # its second line
    time = BrownianBridge(t=0.75, t_is="time", modalities="a")
    assert float(time.penalty(RENAMED_ARRAYS)) == pytest.approx(0.22454113470710912, rel=1e-5)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("joint", 0.8258640190215094),
        ("separate", 0.2573797111833659),
        ("distinct", -6.02367807842441),
    ],
)
def test_deep_feature_separation_of_the_paper(form, value):
    views = {f"{a}": RENAMED_ARRAYS[a] for a in MODALITIES}
    views |= {
        f"{a}_independent": np.array(PAPER_INDEPENDENT[b], "float32") for a, b in MODALITIES.items()
    }
    layer = DeepFeatureSeparation(contrast=0.0, uniformity_form=form)
    terms = layer.penalty_and_terms(views)[1]
    assert float(terms["orthogonality"]) == pytest.approx(0.07407407407407408, rel=1e-5)
    assert float(terms["uniformity"]) == pytest.approx(value, rel=1e-5)
    assert set(terms) == {"orthogonality", "uniformity"}


RENAMED_ARRAYS = {name: np.array(rows, "float32") for name, rows in RENAMED.items()}


# Geometric consistency


def test_cyclip_is_a_setting():
    a, b = (random_views(6)[name] for name in "ab")
    expected = 0.25 * (reference.cross_modal(a, b) + reference.in_modal(a, b))
    assert float(GeometricConsistency(0.25, 0.25, 0, 0).penalty({"a": a, "b": b})) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize(
    ("rows", "dim"), [(5, 16), (48, 8)], ids=["batch below dim", "batch above dim"]
)
@pytest.mark.parametrize("distance", [1.0, 1e-3])
def test_near_zero_the_terms_keep_their_digits(rows, dim, distance):
    rng = np.random.default_rng(1)
    a = reference.units(rng.normal(size=(rows, dim)))
    names = {"a": a} | {
        name: a + distance * rng.normal(size=a.shape) / dim**0.5 for name in ALL[1:]
    }
    views = {name: reference.units(view).astype("float32") for name, view in names.items()}
    layer = GeometricConsistency(normalize=False)
    terms = layer.penalty_and_terms(views)[1]
    exact = {name: np.asarray(view, "float64") for name, view in views.items()}
    a, b, new_a, new_b = (exact[name] for name in ALL)
    expected = {
        "cross_modal": ((a @ b.T - b @ a.T) ** 2).sum() / rows,
        "in_modal": ((a @ a.T - b @ b.T) ** 2).sum() / rows,
        "augmented": sum(((x @ x.T - y @ y.T) ** 2).sum() for x, y in ((a, new_a), (b, new_b)))
        / rows,
        "augmented_pairs": np.mean(((a * b).sum(1) - (new_a * new_b).sum(1)) ** 2),
    }
    for (
        name,
        value,
    ) in expected.items():  # at a distance of 1e-3 they are a millionth of what they are at 1
        assert float(terms[name]) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(
    ("rows", "dim"), [(5, 16), (48, 8)], ids=["batch below dim", "batch above dim"]
)
def test_rotations(rows, dim):
    rng = np.random.default_rng(2)
    views = {name: reference.units(rng.normal(size=(rows, dim))) for name in ALL}
    one, other = (np.linalg.qr(rng.normal(size=(dim, dim)))[0] for _ in range(2))

    def terms(turn, turn_b):
        turned = {
            name: (view @ (turn if name[0] == "a" else turn_b)).astype("float32")
            for name, view in views.items()
        }
        return {
            name: float(x)
            for name, x in GeometricConsistency().penalty_and_terms(turned)[1].items()
        }

    here, together, apart = terms(np.eye(dim), np.eye(dim)), terms(one, one), terms(one, other)
    assert together == pytest.approx(here, rel=1e-4)
    assert apart["in_modal"] == pytest.approx(here["in_modal"], rel=1e-4)
    assert apart["augmented"] == pytest.approx(here["augmented"], rel=1e-4)
    assert abs(apart["cross_modal"] - here["cross_modal"]) > 1e-3 * here["cross_modal"]


def test_per_pair_does_not_grow_with_the_batch():
    views = {name: np.concatenate([view] * 5) for name, view in random_views(6).items()}
    once, again = GeometricConsistency(per_pair=True), GeometricConsistency()
    small = {name: view[:6] for name, view in views.items()}
    assert float(once.penalty(views)) == pytest.approx(float(once.penalty(small)), rel=1e-4)
    assert float(again.penalty(views)) > 2 * float(again.penalty(small))


def test_terms_of_weight_zero_are_not_there():
    terms = GeometricConsistency(in_modal=0).penalty_and_terms(random_views())[1]
    assert set(terms) == {"cross_modal", "augmented", "augmented_pairs"}


def test_without_augmented_views_their_terms_are_zero():
    terms = GeometricConsistency().penalty_and_terms(random_views(names=["a", "b"]))[1]
    assert float(terms["augmented"]) == float(terms["augmented_pairs"]) == 0
    assert float(terms["in_modal"]) > 0


def test_of_three_modalities_each_pair_counts_a_third():
    views = random_views(6, names=["a", "b", "c"])
    layer = GeometricConsistency()
    pairs = [float(layer.penalty({x: views[x], y: views[y]})) for x, y in ("ab", "ac", "bc")]
    assert float(layer.penalty(views)) == pytest.approx(np.mean(pairs), rel=1e-5)


# The bridge


@pytest.mark.parametrize("distance", [0.0, 1e-7, 1e-4])
def test_opposite_end_points_have_a_finite_gradient(distance):
    image = np.array([[1, 0, 0]], "float32")
    text = np.array([[-1, distance, 0]], "float32")
    augmented = np.array([[0, 0, 1]], "float32")
    layer = BrownianBridge(t=0.5)

    def penalty(*views):
        return layer.penalty(dict(zip(["a", "b", "a_augmented"], views, strict=True)))

    assert 0 <= float(penalty(image, text, augmented)) <= 4
    assert (
        max(np.abs(gradient).max() for gradient in gradients(penalty, image, text, augmented)) < 1e4
    )


def test_a_view_on_its_bridge_costs_nothing():
    a, b = (reference.units(random_views()[name]) for name in "ab")
    views = {"a": a.astype("float32"), "b": b.astype("float32")}
    middle = 0.25 * a + 0.75 * b
    found = float(BrownianBridge().penalty(views | {"a_augmented": middle.astype("float32")}))
    assert found == pytest.approx(0, abs=1e-12)
    opposite = float(BrownianBridge().penalty(views | {"a_augmented": -middle.astype("float32")}))
    assert opposite == pytest.approx(4, rel=1e-6)


def test_of_three_modalities_each_bridge_counts_alike():
    views = random_views(6, names=["a", "b", "c", "a_augmented"])
    a, b, c, augmented = views.values()
    expected = np.mean([reference.brownian_bridge(a, other, augmented, 0.25) for other in (b, c)])
    assert float(BrownianBridge().penalty(views)) == pytest.approx(expected, rel=1e-5)


def test_a_drawn_t_is_weighted_by_its_likelihood_and_moves_in_training_only():
    views = random_views(5, names=ALL[:3])
    layer = BrownianBridge(t=(0.2, 0.8), seed=3)
    plain = BrownianBridge(t=(0.2, 0.8), seed=3, likelihood_weight=False)
    for one in (layer, plain):
        one.build({name: view.shape for name, view in views.items()})
    shares = to_numpy(layer._times(*layer.modalities(views)))[:, 0]
    assert np.all((shares > 0.2) & (shares < 0.8))
    assert len(np.unique(shares)) == 5
    a, b, augmented = views.values()
    assert float(plain.penalty(views)) == pytest.approx(
        reference.brownian_bridge(a, b, augmented, shares), rel=1e-5
    )
    weighted = reference.brownian_bridge(a, b, augmented, shares, lambda t: 1 / (2 * t * (1 - t)))
    assert float(layer.penalty(views)) == pytest.approx(weighted, rel=1e-5)
    assert float(layer.penalty(views, training=True)) == pytest.approx(weighted, rel=1e-5)
    assert float(layer.penalty(views)) != pytest.approx(weighted, rel=1e-5)


def test_bridges_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="needs two modalities and an augmented view"):
        BrownianBridge().penalty(random_views(names=["a", "b"]))
    with pytest.raises(ValueError, match="the augmented views of b"):
        BrownianBridge(modalities="b").penalty(random_views(names=["a", "b", "a_augmented"]))
    for t in (-0.1, 1.1, (0.0, 0.5), (0.5, 0.2)):
        with pytest.raises(ValueError, match="`t`"):
            BrownianBridge(t=t)
    for t in ("half", (0.1, 0.2, 0.3), None):
        with pytest.raises(TypeError, match="`t` must be"):
            BrownianBridge(t=t)
    with pytest.raises(ValueError, match="`t_is`"):
        BrownianBridge(t_is="share of the text")


# Separated features


def test_independent_features_come_out_by_name():
    views = random_views(names=["a", "b"])
    layer = settled(DeepFeatureSeparation(contrast=0.0), views)
    found = layer.extended(views)
    expected = independent(layer, views)
    for name in "ab":
        np.testing.assert_allclose(
            to_numpy(found[f"{name}_independent"]), expected[name], rtol=1e-4, atol=1e-5
        )


def test_heads_have_the_depth_and_width_that_are_asked_for():
    views = random_views(dim=4)
    for depth, units, shapes in (
        (1, None, [(4, 4)]),
        (2, None, [(4, 4), (4, 4)]),
        (3, 6, [(4, 6), (6, 6), (6, 4)]),
    ):
        layer = settled(DeepFeatureSeparation(depth=depth, units=units), views)
        assert [tuple(dense.kernel.shape) for dense in layer.heads["a"].layers] == shapes
    assert set(layer.heads) == {"a", "b"}  # augmented views share them


def test_heads_may_look_at_the_features_before_the_projector():
    views = random_views(names=["a", "b"])
    features = random_views(dim=9, names=["a", "b"], seed=4)
    layer = DeepFeatureSeparation(contrast=0.0, source="features")
    found = layer(views, features=features)
    expected = independent(layer, features)
    np.testing.assert_allclose(
        to_numpy(found["a_independent"]), expected["a"], rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match="`features` must have a, b"):
        layer.penalty(views)


def test_rows_of_the_same_item_are_not_contrasted():
    views = random_views(4)
    twins = {name: np.concatenate([view, view]) for name, view in views.items()}
    layer = settled(DeepFeatureSeparation(orthogonality=0.0, uniformity=0.0), views)
    ids = ops.convert_to_tensor(np.tile(np.arange(4, dtype="int32"), 2))
    alone = float(layer.penalty(views))
    assert float(layer.penalty(twins)) > alone + 0.5
    known = float(layer.penalty(twins, ids=ids))
    # Each negative is there twice, and the positive once.
    assert alone < known < float(layer.penalty(twins))


def test_three_modalities_add_up():
    names = [*ALL, "c", "c_augmented"]
    views = random_views(6, names=names)
    layer = settled(DeepFeatureSeparation(), views)
    assert float(layer.penalty(views)) == pytest.approx(separation(layer, views), rel=2e-5)


def test_the_printed_contrast_is_repulsion_alone():
    views = random_views(5, names=["a", "b"])
    layer = settled(
        DeepFeatureSeparation(orthogonality=0.0, uniformity=0.0, contrast_with="itself"), views
    )
    own = independent(layer, views)
    expected = sum(reference.in_modal_contrast(own[name], own[name], 0.1) for name in "ab")
    assert float(layer.penalty(views)) == pytest.approx(expected, rel=1e-4)


def test_separations_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="there is none"):
        DeepFeatureSeparation().penalty(random_views(names=["a", "b"]))
    for arguments in ({"source": "pixels"}, {"contrast_with": "b"}, {"uniformity_form": "both"}):
        with pytest.raises(ValueError, match="must be one of"):
            DeepFeatureSeparation(**arguments)
    for arguments in ({"temperature": 0}, {"t": -1.0}, {"depth": 0}, {"units": 0}):
        with pytest.raises(ValueError, match="must be"):
            DeepFeatureSeparation(**arguments)
