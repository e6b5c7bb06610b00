import numpy as np
import pytest
from keras import ops

from tests.helpers.backend import compiled, gradients
from tests.helpers.engine import contrast_of
from tests.reference import contrast as reference
from tests.reference.differences import numeric_gradient

BOTH = [(0, 1), (1, 0)]
CASES = {  # views, directions, ids
    "two_views": (2, BOTH, None),
    "two_views_with_duplicates": (2, BOTH, [3, 1, 3, 0, 1]),
    "two_views_of_large_ids": (2, BOTH, [2**24, 2**24 + 1, 2**31 - 1, 2**31 - 2, 2**24]),
    "two_views_of_one_item": (2, BOTH, [4, 4, 4, 4, 4]),
    "three_views": (3, [*BOTH, (0, 2), (2, 0), (1, 2), (2, 1)], None),
    "two_views_in_one_direction": (2, [(1, 0)], None),
    "three_views_in_some_directions_with_duplicates": (
        3,
        [(1, 2), (2, 1), (0, 2)],
        [0, 0, 1, 2, 2],
    ),
    "one_view_with_labels": (1, [], [0, 1, 0, 1, 0]),
    "one_view_with_a_lonely_label": (1, [], [0, 1, 0, 1, 2]),
    "one_view_of_one_label": (1, [], [6, 6, 6, 6, 6]),
    "one_view_where_all_differ": (1, [], None),
}
SCALE = 3.0


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request, rng):
    num_views, directions, ids = request.param
    views = [rng.normal(size=(5, 3)).astype("float32") for _ in range(num_views)]
    return views, directions, ids


def contrast(views, directions, ids=None, scale=SCALE):
    return contrast_of(views, directions, ids, scale)


def array(x):
    return ops.convert_to_numpy(x)


def test_sums_equal_the_reference(case):
    ours, loops = contrast(*case), reference.Contrast(*case, SCALE)
    np.testing.assert_array_equal(array(ours.num_negatives), loops.num_negatives)
    np.testing.assert_array_equal(array(ours.valid), loops.valid)
    np.testing.assert_allclose(
        array(ours.positive_logit), loops.positive_logit, rtol=1e-5, atol=1e-5
    )
    some = loops.num_negatives > 0
    np.testing.assert_allclose(
        array(ours.log_sum_negatives)[some], loops.log_sum_negatives[some], rtol=1e-5, atol=1e-5
    )


def test_mean_softplus_equals_the_reference(case, rng):
    loops = reference.Contrast(*case, SCALE)
    threshold = rng.normal(size=loops.positive_logit.shape).astype("float32")
    ours = contrast(*case).mean_softplus(ops.convert_to_tensor(threshold))
    np.testing.assert_allclose(array(ours), loops.mean_softplus(threshold), rtol=1e-5, atol=1e-5)


def test_mean_share_polynomial_equals_the_reference(case, rng):
    loops = reference.Contrast(*case, SCALE)
    threshold = rng.normal(size=loops.positive_logit.shape).astype("float32")
    for coefficients in ((1.0,), (0.0, 2.0, -3.0)):
        ours = contrast(*case).mean_share_polynomial(ops.convert_to_tensor(threshold), coefficients)
        expected = loops.mean_share_polynomial(threshold, coefficients)
        np.testing.assert_allclose(array(ours), expected, rtol=1e-5, atol=1e-5)


def test_sums_up_to_a_limit_equal_the_reference(case, rng):
    loops, ours = reference.Contrast(*case, SCALE), contrast(*case)
    size = loops.positive_logit.shape
    limit = rng.normal(size=size).astype("float32")
    expected = loops.log_sum_negatives_up_to(limit)
    found = array(ours.log_sum_negatives_up_to(ops.convert_to_tensor(limit)))
    some = expected > -np.inf
    assert (found[~some] < -1e37).all()
    np.testing.assert_allclose(found[some], expected[some], rtol=1e-5, atol=1e-5)
    found = array(ours.log_complement_sum(*map(ops.convert_to_tensor, (limit + 0.5, limit))))
    expected = loops.log_complement_sum(limit + 0.5, limit)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "above", [2.0, 0.5, 1e-3, 0.0], ids=["far", "near", "on_the_tangent", "share_of_one"]
)
def test_log_complement_sum_equals_the_reference(case, above):
    loops = reference.Contrast(*case, SCALE)
    limit = np.array(
        [
            [max([*neg, 0.0]) + above for _, neg in row]
            for row in zip(*loops.directions, strict=True)
        ]
    )
    ours = contrast(*case).log_complement_sum(ops.convert_to_tensor(limit.astype("float32")))
    # A slope of 100 on the tangent multiplies the error of a logit near 10.
    np.testing.assert_allclose(array(ours), loops.log_complement_sum(limit), rtol=1e-5, atol=1e-3)


def test_log_complement_continues_as_its_tangent_above_a_share_of_0_99():
    # One negative for each anchor, whose logit is the share's logarithm.
    shares = np.array([0.5, 0.98, 0.995, 1.0])
    values, slopes = [], []
    for log_share in np.log(shares):
        views = [np.array([[1.0], [0.0]], "float32"), np.array([[0.0], [log_share]], "float32")]

        def first(a, b):
            sums = contrast_of([a, b], [(0, 1)])
            return sums.log_complement_sum(ops.zeros((2, 1)))[0, 0]

        values.append(float(first(*map(ops.convert_to_tensor, views))))
        slopes.append(gradients(first, *views)[1][1, 0])
    expected = [reference.log_complement(x) for x in np.log(shares)]
    np.testing.assert_allclose(
        values, expected, rtol=1e-3
    )  # 1 - exp(-0.01) in float32 has five digits
    np.testing.assert_allclose(values[:2], np.log1p(-shares[:2]), rtol=1e-4)
    assert np.isfinite(values[3])
    np.testing.assert_allclose(slopes[:2], -shares[:2] / (1 - shares[:2]), rtol=1e-3)
    np.testing.assert_allclose(slopes[2:], [-1 / np.expm1(0.01)] * 2, rtol=1e-3)


def test_directions_of_a_pair_swap_the_anchors():
    views = [np.eye(2, dtype="float32"), np.array([[1, 2], [3, 4]], "float32")]
    # Logits of view 0 against view 1 are [[1, 3], [2, 4]].
    np.testing.assert_allclose(
        array(contrast(views, BOTH, scale=1.0).log_sum_negatives), [[3, 2], [2, 3]], rtol=1e-6
    )


def test_sum_without_negatives_is_low_but_finite():
    sums = contrast([np.ones((1, 2), "float32")] * 2, [(0, 1)])
    for value in (sums.log_sum_negatives, 2 * sums.log_sum_negatives):
        assert np.isfinite(array(value)).all()
    assert (array(sums.log_sum_negatives) < -1e37).all()
    np.testing.assert_array_equal(array(sums.mean_softplus(sums.log_sum_negatives)), 0.0)
    np.testing.assert_allclose(array(sums.log_complement_sum(sums.positive_logit)), 0.0, atol=1e-40)
    assert not array(sums.valid).any()


def test_scale_may_be_a_tensor(case):
    ours = contrast(*case, scale=ops.convert_to_tensor(SCALE))
    np.testing.assert_allclose(
        array(ours.positive_logit), array(contrast(*case).positive_logit), rtol=1e-6
    )


def everything(views, directions, ids, scale=SCALE, engine=contrast_of):
    """A scalar that depends on all sums where they are valid."""
    xp = np if engine is reference.Contrast else ops
    sums = engine(views, directions, ids, scale)
    zero = xp.zeros_like(sums.positive_logit)
    terms = [
        sums.positive_logit,
        sums.log_sum_negatives,
        sums.mean_softplus(zero + 1),
        sums.mean_share_polynomial(zero + 1, (0.5, -1.0, 2.0)),
        sums.log_complement_sum(zero + 1, zero + 0.5),
        xp.maximum(sums.log_sum_negatives_up_to(zero + 0.5), zero - 30),
        sums.log_complement_sum(zero + 40 * scale),
    ]
    return sum(xp.sum(xp.where(sums.valid, term, zero)) for term in terms)


def test_gradients_equal_float64_differences(case):
    views, directions, ids = case
    found = gradients(lambda *v: everything(list(v), directions, ids), *views)
    for which, gradient in enumerate(found):
        expected = numeric_gradient(
            lambda v, which=which: everything(
                [v if i == which else view for i, view in enumerate(views)],
                directions,
                ids,
                engine=reference.Contrast,
            ),
            views[which],
        )
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "rows",
    [np.zeros((4, 3)), np.ones((4, 3)), np.eye(4, 3), np.ones((1, 3)), 30 * np.eye(4)],
    ids=["zero", "equal", "one_hot", "one_row", "far_apart"],
)
@pytest.mark.parametrize("directions", [BOTH, []], ids=["pair", "one_view"])
@pytest.mark.parametrize("same", [False, True], ids=["items", "one_item"])
def test_gradients_are_finite(rows, directions, same):
    ids = (
        np.zeros(len(rows), "int32")
        if same
        else np.arange(len(rows), dtype="int32") // (1 if directions else 2)
    )
    views = [rows.astype("float32")] * (2 if directions else 1)

    def risky(*views):
        sums = contrast_of(views, directions, ids, 100.0)
        nearest = sums.log_complement_sum(
            sums.log_sum_negatives
        )  # a share of 1 where one negative dominates
        return ops.sum(sums.mean_softplus(sums.log_sum_negatives)) + ops.sum(
            ops.where(sums.valid, nearest, 0.0)
        )

    for gradient in gradients(risky, *views):
        assert np.isfinite(gradient).all()


def test_compiled_equals_eager(case):
    views, directions, ids = case
    ids = None if ids is None else np.array(ids, "int32")
    result = compiled(lambda *v: everything(list(v), directions, ids))(
        *map(ops.convert_to_tensor, views)
    )
    tensors = [ops.convert_to_tensor(view) for view in views]
    np.testing.assert_allclose(
        float(result), float(everything(tensors, directions, ids)), rtol=1e-5
    )
