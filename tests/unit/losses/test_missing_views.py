"""Rows that lack a view are neither anchors nor candidates there."""

import functools

import numpy as np
import pytest
from keras import ops

from keras_contrastive.layers import EmbeddingQueue
from keras_contrastive.losses import GlobalContrastive, InfoNCE, SupCon
from tests.contracts.loss_cases import EVERY
from tests.helpers.backend import gradients, to_numpy
from tests.reference.losses import normalized

PRESENT = np.array([True, True, False, True, False, True, True])
IDS = np.array([4, 1, 4, 0, 1, 4, 2], "int32")


def embeddings(views=2, seed=0):
    return list(np.random.default_rng(seed).normal(size=(views, 7, 3)).astype("float32"))


@pytest.mark.parametrize(
    ("ids", "tiles"), [(None, (3, 2)), (IDS, None)], ids=["no ids", "ids"], indirect=["tiles"]
)
@pytest.mark.parametrize("case", EVERY.values(), ids=EVERY.keys())
def test_rows_without_any_view_have_no_influence(case, ids, tiles):
    z = embeddings()
    present = {0: ops.convert_to_tensor(PRESENT), 1: ops.convert_to_tensor(PRESENT)}
    loss = case.make(temperature=0.3, reduction=None)
    found = to_numpy(loss(ids, z, present=present))
    kept = to_numpy(loss(None if ids is None else ids[PRESENT], [view[PRESENT] for view in z]))
    np.testing.assert_allclose(found[PRESENT], kept, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[~PRESENT], 0)


@pytest.mark.parametrize("case", EVERY.values(), ids=EVERY.keys())
def test_the_value_in_place_of_a_missing_view_has_no_influence(case):
    a, b = embeddings()
    other = b.copy()
    other[~PRESENT] = np.nan
    loss = case.make(temperature=0.3)
    present = {1: ops.convert_to_tensor(PRESENT)}
    np.testing.assert_allclose(
        float(loss(None, (a, b), present=present)), float(loss(None, (a, other), present=present))
    )
    found = gradients(lambda a, b: loss(None, (a, b), present=present), a, b)
    np.testing.assert_array_equal(found[1][~PRESENT], 0)
    assert all(np.all(np.isfinite(gradient)) for gradient in found)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("kind", [np.asarray, ops.convert_to_tensor], ids=["array", "tensor"])
def test_log_weights_and_guides_of_missing_views_have_no_influence(kind):
    views, found = embeddings(), []
    loss = InfoNCE(0.3, ignore_above=("absolute", 0.1), reduction=None)
    for placeholder in (np.nan, 5.0):
        log_weights, guide = np.linspace(-1, 1, 7).astype("float32"), views[1].copy()
        log_weights[~PRESENT] = guide[~PRESENT] = placeholder
        arguments = {
            "present": {1: kind(PRESENT)},
            "log_weights": {1: kind(log_weights)},
            "guides": {0: views[0], 1: kind(guide)},
        }
        losses = functools.partial(loss, None, **arguments)
        found += [to_numpy(losses(views)), gradients(lambda *z, f=losses: ops.sum(f(z)), *views)]
    for values in zip(found[:2], found[2:], strict=True):
        assert np.all(np.isfinite(values))
        np.testing.assert_allclose(*values, rtol=1e-5)
    log_weights[PRESENT] = np.nan
    if kind is np.asarray:
        with pytest.raises(ValueError, match=r"`log_weights\[1\]` must be finite"):
            loss(None, views, present={1: PRESENT}, log_weights={1: log_weights})


def test_a_row_that_lacks_one_view_is_a_candidate_with_the_other():
    a, b = (normalized(view) for view in embeddings())
    logits = a @ b.T / 0.5
    expected = np.zeros(7)
    for i in np.flatnonzero(PRESENT):
        forward = np.log(np.exp(logits[i, PRESENT]).sum()) - logits[i, i]
        backward = np.log(np.exp(logits[:, i]).sum()) - logits[i, i]  # all rows have the first view
        expected[i] = (forward + backward) / 2
    loss = InfoNCE(temperature=0.5, reduction=None)
    found = loss(
        None,
        {"a": a.astype("float32"), "b": b.astype("float32")},
        present={"b": ops.convert_to_tensor(PRESENT)},
    )
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-4, atol=1e-5)


def test_labeled_rows_may_be_missing():
    (z,) = embeddings(1)
    loss = SupCon(reduction=None)
    found = to_numpy(loss(IDS, z, present={0: ops.convert_to_tensor(PRESENT)}))
    np.testing.assert_allclose(
        found[PRESENT], to_numpy(loss(IDS[PRESENT], z[PRESENT])), rtol=1e-4, atol=1e-5
    )


def test_no_state_is_stored_for_a_row_that_lacks_a_view():
    z = embeddings()
    present = {1: ops.convert_to_tensor(PRESENT)}
    loss = InfoNCE(memory=EmbeddingQueue(7, 3))
    loss.build()
    loss(IDS, z, training=True, present=present)
    np.testing.assert_array_equal(to_numpy(loss.memory.ids), np.where(PRESENT, IDS, -2))
    rates = GlobalContrastive(num_items=7, temperature=0.5)
    rates.build()
    rates(np.arange(7, dtype="int32"), z, training=True, present=present)
    assert np.array_equal(np.isfinite(to_numpy(rates.state.log_rates))[:7].all(axis=1), PRESENT)


def test_an_unknown_view_raises():
    with pytest.raises(ValueError, match="`present` must name views"):
        InfoNCE()(None, embeddings(), present={2: ops.convert_to_tensor(PRESENT)})
