"""Negatives that are more similar than a margin below the positive are ignored."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.config import set_tile_shape
from keras_contrastive.extend import Batch, Candidates, Contrast
from keras_contrastive.layers import EmbeddingQueue
from keras_contrastive.losses import DecoupledContrastive, InfoNCE, Matryoshka, NTXent, SupCon
from tests.contracts.loss_cases import EVERY, LOSSES
from tests.helpers import normal
from tests.helpers.backend import FASTEST, gradients, largest_tensor, to_numpy
from tests.reference import losses as reference
from tests.reference.differences import numeric_gradient

IDS = [7, 3, 7, 0, 3, 1]
ROWS = len(IDS)
NO_ITEM_ID = -1
VIEWS, GUIDES = normal(2, ROWS, 3), normal(2, ROWS, 4, seed=4)
HARD, GUIDE_OF_HARD = normal(4, 3, seed=9), normal(4, 4, seed=8)
MARGINS = {"absolute": 0.1, "relative": 0.2}
IGNORING = [name for name, case in EVERY.items() if case.make().ignores_negatives]


def loss_of(name, margin=("absolute", 0.1), **kwargs):
    return EVERY[name].make(temperature=0.5, ignore_above=margin, **kwargs)


def arguments(guided, hard=HARD, guides=GUIDES):
    """Call arguments: hard negatives of view 1, with or without guides."""
    candidates = Candidates(hard, guide=GUIDE_OF_HARD if guided else None)
    return {
        "hard_negatives": {1: candidates},
        "guides": {0: guides[0], 1: guides[1]} if guided else None,
    }


def expected(function, margin, guided, views=VIEWS, hard=HARD, ids=IDS):
    extra = {1: [(hard, [NO_ITEM_ID] * 4)]}
    guides = (list(GUIDES), {1: [GUIDE_OF_HARD]}) if guided else None
    return function(views, ids, 0.5, extra=extra, ignore_above=margin, guides=guides)


@pytest.mark.parametrize("guided", [False, True], ids=["alone", "guided"])
@pytest.mark.parametrize("kind", MARGINS)
@pytest.mark.parametrize("contrast_anchors", [False, True])
def test_values_equal_gist(kind, contrast_anchors, guided):
    kind_of_loss = NTXent if contrast_anchors else InfoNCE
    loss = kind_of_loss(0.5, symmetric=False, ignore_above=(kind, MARGINS[kind]), reduction=None)
    guides = {0: GUIDES[0], 1: GUIDES[1]} if guided else None
    hard = (
        None if contrast_anchors else {1: Candidates(HARD, guide=GUIDE_OF_HARD if guided else None)}
    )
    found = to_numpy(loss(None, list(VIEWS), guides=guides, hard_negatives=hard))
    of_guide = (*GUIDES, GUIDE_OF_HARD) if guided else (*VIEWS, HARD)
    rows = VIEWS if contrast_anchors else (*VIEWS, HARD)
    value = reference.gist(rows, of_guide[: len(rows)], 0.5, kind, MARGINS[kind], contrast_anchors)
    np.testing.assert_allclose(found, value, rtol=1e-4)
    plain = to_numpy(kind_of_loss(0.5, symmetric=False, reduction=None)(None, list(VIEWS)))
    assert np.any(np.abs(found - plain) > 1e-2)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("guided", [False, True], ids=["alone", "guided"])
@pytest.mark.parametrize("tiles", [None, (4, 2)], indirect=True, ids=["one tile", "tiles"])
@pytest.mark.parametrize("name", [name for name in IGNORING if name != "Matryoshka"])
def test_values_with_ids_and_hard_negatives_equal_the_reference(name, tiles, guided):
    margin = ("relative", 0.2)
    found = loss_of(name, margin, reduction=None)(np.array(IDS), list(VIEWS), **arguments(guided))
    value = expected(EVERY[name].value, margin, guided)
    np.testing.assert_allclose(to_numpy(found), value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "tiles", "guided"),
    [
        ("InfoNCE", None, True),
        ("NTXent", (4, 2), False),
        pytest.param("InfoNCE", (4, 2), True, marks=pytest.mark.slow_to_compile),
        pytest.param("SigmoidContrastive", (4, 2), False, marks=pytest.mark.slow_to_compile),
        pytest.param("DecoupledContrastive", (4, 2), True, marks=pytest.mark.slow_to_compile),
        pytest.param("InfoNCE, jackknife", (4, 2), False, marks=pytest.mark.slow_to_compile),
    ],
    indirect=["tiles"],
)
def test_gradients_equal_differences(name, tiles, guided):
    (a, b), case, margin = VIEWS, EVERY[name], ("absolute", 0.1)
    loss = loss_of(name, margin)

    def total(a, hard):
        return loss(np.array(IDS), (a, b), **arguments(guided, hard))

    found = gradients(total, a, HARD, **FASTEST)
    for which, at in enumerate((lambda x: (x, HARD), lambda x: (a, x))):
        value = numeric_gradient(
            lambda x, at=at: expected(
                case.objective, margin, guided, (at(x)[0], b), at(x)[1]
            ).mean(),
            (a, HARD)[which],
        )
        np.testing.assert_allclose(found[which], value, atol=3e-5)


@pytest.mark.parametrize("name", IGNORING)
def test_an_anchor_that_ignores_all_negatives_costs_nothing(name):
    def total(a, b, name=name):
        return EVERY[name].make(temperature=0.05, ignore_above=("absolute", 5.0))(None, (a, b))

    assert float(total(*map(ops.convert_to_tensor, VIEWS))) == 0
    for gradient in gradients(total, *VIEWS):
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("name", IGNORING)
def test_a_wide_margin_ignores_nothing(name):
    case = EVERY[name]
    found = case.make(ignore_above=("absolute", -5.0))(np.array(IDS), list(VIEWS))
    assert float(found) == pytest.approx(float(case.make()(np.array(IDS), list(VIEWS))), rel=1e-5)


@pytest.mark.slow_to_compile
def test_low_precision_is_finite_and_ignores_the_same():
    wide = [view.astype("float16") for view in VIEWS]
    loss = InfoNCE(0.01, ignore_above=("relative", 0.05))
    found = loss(None, [ops.convert_to_tensor(view) for view in wide])
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    exact = float(loss(None, [view.astype("float32") for view in wide]))
    assert float(found) == pytest.approx(exact, rel=1e-4)


@pytest.mark.slow_to_compile
def test_duplicates_under_other_ids_are_no_negatives():
    # The last two rows repeat the first two items, with ids of their own.
    guides = normal(6, 4, seed=4)
    guides[4:] = guides[:2] + 1e-4
    views = normal(2, 6, 3)
    right = InfoNCE(0.2)(np.array([0, 1, 2, 3, 0, 1]), list(views))
    by_guide = InfoNCE(0.2, ignore_above=("absolute", 0.01))
    found = by_guide(None, list(views), guides={0: guides, 1: guides})
    assert float(found) == pytest.approx(float(right), rel=1e-5)
    assert float(InfoNCE(0.2)(None, list(views))) > float(right) + 1e-3


@pytest.mark.slow_to_compile
def test_queued_rows_are_ignored_too():
    queue = EmbeddingQueue(ROWS, 3)
    loss = loss_of("InfoNCE", reduction=None, memory=queue)
    loss.build()
    stored = [reference.normalized(view) for view in normal(2, ROWS, 3, seed=1)]
    queue.push([ops.convert_to_tensor(x, dtype="float32") for x in stored], None)
    found = loss(None, list(VIEWS), training=False)
    extra = {view: [(stored[view], [NO_ITEM_ID] * ROWS)] for view in (0, 1)}
    value = reference.info_nce(VIEWS, range(ROWS), 0.5, extra=extra, ignore_above=("absolute", 0.1))
    np.testing.assert_allclose(to_numpy(found), value, rtol=1e-4)


@pytest.mark.slow_to_compile
def test_log_weights_do_not_decide_which_are_ignored():
    weights = {0: normal(ROWS, seed=5), 1: normal(ROWS, seed=6)}
    found = loss_of("NTXent", reduction=None)(None, list(VIEWS), log_weights=weights)
    value = reference.nt_xent(
        VIEWS, range(ROWS), 0.5, log_weights=weights, ignore_above=("absolute", 0.1)
    )
    np.testing.assert_allclose(to_numpy(found), value, rtol=1e-4)


@pytest.mark.slow_to_compile
def test_the_partition_has_the_positives_of_an_anchor():
    batch = Batch.from_targets(np.array(IDS), list(VIEWS)).unit()
    pairs = [batch.names, batch.names[::-1]]
    contrast = Contrast(batch, pairs, 2.0, ignore_above=("absolute", 5.0))
    everything = Contrast(batch, pairs, 2.0)
    same = np.array([[i == j for j in IDS] for i in IDS])
    logits = 2 * reference.normalized(VIEWS[0]) @ reference.normalized(VIEWS[1]).T
    value = np.log(np.where(same, np.exp(logits), 0).sum(axis=1))
    np.testing.assert_allclose(to_numpy(contrast.log_partition)[:, 0], value, rtol=1e-4)
    assert not to_numpy(contrast.num_negatives).any()
    assert to_numpy(everything.num_negatives).all()


@pytest.mark.parametrize("guided", [False, True])
def test_no_loss_stores_the_similarities(guided):
    set_tile_shape((64, 32))
    guide = normal(300, 4, seed=4) if guided else None
    guides = {0: guide, 1: guide} if guided else None
    loss = NTXent(ignore_above=("relative", 0.1))
    size = largest_tensor(lambda a, b: loss(None, (a, b), guides=guides), *normal(2, 300, 4))
    assert size <= 2 * 300 * (4 + 2)


@pytest.mark.slow_to_compile
def test_a_saved_loss_has_its_margin():
    loss = Matryoshka(InfoNCE(ignore_above=("relative", 0.05)), (3, 2))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.ignore_above == again.loss.ignore_above == ("relative", 0.05)
    guides = {0: GUIDES[0], 1: GUIDES[1]}
    assert float(again(None, list(VIEWS), guides=guides)) == pytest.approx(
        float(loss(None, list(VIEWS), guides=guides)), rel=1e-6
    )


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in IGNORING])
def test_other_losses_raise(name):
    with pytest.raises(TypeError, match=r"has no argument `ignore_above`|unexpected keyword"):
        EVERY[name].make(ignore_above=("absolute", 0.1))


def test_wrong_margins_raise():
    for margin in (0.1, "absolute", ("absolute",), ("relative", "0.1")):
        with pytest.raises(TypeError, match="`ignore_above"):
            InfoNCE(ignore_above=margin)
    for margin in (("above", 0.1), ("absolute", np.inf)):
        with pytest.raises(ValueError, match="`ignore_above"):
            InfoNCE(ignore_above=margin)
    with pytest.raises(ValueError, match="`y_pred` must have several views"):
        InfoNCE(ignore_above=("absolute", 0.1))(np.array(IDS), VIEWS[0])


def test_wrong_guides_raise():
    guides, z = {0: GUIDES[0], 1: GUIDES[1]}, list(VIEWS)
    loss = InfoNCE(ignore_above=("absolute", 0.1))
    for given, message in (
        ({0: GUIDES[0]}, r"`guides` must have embeddings of all views. Received: none of"),
        ({**guides, 1: GUIDES[1][:3]}, r"`guides` must have the shape `\(6, guide_dim\)`"),
        ({**guides, 1: GUIDES[1][:, :3]}, "with one size for all views"),
    ):
        with pytest.raises(ValueError, match=message):
            loss(None, z, guides=given)
    with pytest.raises(ValueError, match="a loss has no `ignore_above`"):
        DecoupledContrastive()(None, z, guides=guides)
    with pytest.raises(ValueError, match="Hard negatives must have guides if and only if"):
        loss(None, z, guides=guides, hard_negatives={1: HARD})
    queue = InfoNCE(ignore_above=("absolute", 0.1), memory=EmbeddingQueue(4, 3))
    queue.build()
    with pytest.raises(ValueError, match="`memory` must be `None` if there are `guides`"):
        queue(None, z, guides=guides, training=True)
    with pytest.raises(TypeError, match="`SupCon` has no argument `ignore_above`"):
        SupCon(ignore_above=("absolute", 0.1))
