"""Hard negatives with ids: an anchor leaves out those with its own id."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import direction_sums
from keras_contrastive._engine.logit_sums import logit_sums
from keras_contrastive._engine.pair_masks import PairMasks
from keras_contrastive.layers import EmbeddingQueue
from keras_contrastive.losses import InfoNCE, SupCon
from tests.contracts.loss_cases import EVERY
from tests.helpers import normal
from tests.helpers.backend import FASTEST, gradients, to_numpy
from tests.reference.differences import numeric_gradient

IDS = np.array([7, 3, 7, 0, 4])
HARD, HARD_IDS = normal(6, 3, seed=9), np.array([3, 9, 7, 0, 3, 11])
NO_ITEM_ID = -1


def expected_losses(function, views, hard, ids=IDS, hard_ids=HARD_IDS):
    """The losses if each anchor has only the hard negatives of other ids, in float64."""
    losses = np.zeros(len(ids))
    for item in np.unique(ids):
        others = hard[hard_ids != item]
        extra = {len(views) - 1: [(others, [NO_ITEM_ID] * len(others))]}
        own = ids == item
        losses[own] = function(views, ids, 0.5, extra=extra)[own]
    return losses


@pytest.mark.parametrize("single", [False, True], ids=["pairs", "labels"])
@pytest.mark.parametrize(
    "case",
    [case for case in EVERY.values() if case.separable],
    ids=[name for name, case in EVERY.items() if case.separable],
)
def test_an_anchor_leaves_out_hard_negatives_with_its_id(case, single):
    views = list(normal(1 if single else 2, 5, 3))
    loss = case.make(temperature=0.5, reduction=None)
    hard = {len(views) - 1: (HARD, HARD_IDS)}
    found = to_numpy(loss(IDS, views[0] if single else views, hard_negatives=hard))
    expected = expected_losses(case.value, views, HARD)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "tiles",
    [None, pytest.param((3, 2), marks=pytest.mark.slow_to_compile)],
    indirect=True,
    ids=["one tile", "tiles"],
)
@pytest.mark.parametrize(
    "name",
    [
        "InfoNCE",
        "SigmoidContrastive",
        *(
            pytest.param(name, marks=pytest.mark.slow_to_compile)
            for name in ("NTXent", "SupCon", "InfoNCE, jackknife", "GammaContrastive")
        ),
    ],
)
def test_gradient_equals_differences(name, tiles):
    a, b = normal(2, 5, 3)
    loss = EVERY[name].make(temperature=0.5)
    found = gradients(
        lambda hard, a: loss(IDS, (a, b), hard_negatives={1: (hard, HARD_IDS)}, training=True),
        HARD,
        a,
        **FASTEST,
    )
    objective = EVERY[name].objective
    for gradient, x, value in (
        (found[0], HARD, lambda x: expected_losses(objective, (a, b), x)),
        (found[1], a, lambda x: expected_losses(objective, (x, b), HARD)),
    ):
        expected = numeric_gradient(lambda x, value=value: value(x).mean(), x)
        np.testing.assert_allclose(gradient, expected, atol=3e-5)


@pytest.mark.parametrize("name", [name for name, case in EVERY.items() if case.separable])
def test_an_anchors_positive_given_as_a_hard_negative_changes_nothing(name):
    a, b = normal(2, 4, 3)
    b = (a + 0.1 * b).astype("float32")
    ids, loss = np.arange(4), EVERY[name].make(temperature=0.05, reduction=None)
    without = to_numpy(loss(ids, (a, b)))
    found = to_numpy(loss(ids, (a, b), hard_negatives={1: (b[:1], ids[:1])}))
    unknown = to_numpy(loss(ids, (a, b), hard_negatives={1: b[:1]}))
    assert found[0] == pytest.approx(without[0], rel=1e-5, abs=1e-6)
    assert not EVERY[name].smooth or abs(unknown[0] - without[0]) > 1e-3


def test_without_ids_no_ids_are_compared(monkeypatch):
    masks = []

    def recorded(terms, anchors, candidates, scale, pair_masks, *arguments, **options):
        if len(candidates) == len(HARD):
            masks.append(pair_masks)
        return logit_sums(terms, anchors, candidates, scale, pair_masks, *arguments, **options)

    monkeypatch.setattr(direction_sums, "logit_sums", recorded)
    loss = InfoNCE(0.5, symmetric=False)
    for hard in (HARD, (HARD, HARD_IDS)):
        loss(IDS, list(normal(2, 5, 3)), hard_negatives={1: hard})
    without, with_ids = masks
    assert without == PairMasks()
    assert with_ids.positions is not None


def test_several_for_each_row_are_flattened():
    z, ids = list(normal(2, 3, 4)), np.array([2, 0, 1])
    hard, hard_ids = normal(3, 2, 4, seed=9), np.array([[2, 5], [0, 0], [6, 1]])
    loss = InfoNCE(0.5)
    found = loss(ids, z, hard_negatives={1: (hard, hard_ids)})
    flat = loss(ids, z, hard_negatives={1: (hard.reshape(6, 4), hard_ids.reshape(6))})
    assert float(found) == float(flat)
    tensors = tuple(map(ops.convert_to_tensor, (hard, hard_ids.astype("int32"))))
    assert float(loss(ids, z, hard_negatives={1: tensors})) == float(flat)
    for one_each in (hard_ids[:, 0], hard_ids[:, :1]):
        column = loss(ids, z, hard_negatives={1: (hard[:, :1], one_each)})
        row = loss(ids, z, hard_negatives={1: (hard[:, 0], one_each)})
        assert float(column) == float(row)
    assert float(loss(None, z, hard_negatives={1: hard})) == float(
        loss(None, z, hard_negatives={1: hard.reshape(6, 4)})
    )


def test_a_queue_and_hard_negatives_of_one_label():
    # Rows of the queue with the label of an anchor are positives, hard negatives are not.
    queue = SupCon(0.5, memory=EmbeddingQueue(5, 3), reduction=None)
    queue.build([])
    stored, z = normal(5, 3, seed=1), normal(5, 3)
    queue(IDS, stored, training=True)
    found = to_numpy(queue(IDS, z, training=False, hard_negatives={0: (HARD, HARD_IDS)}))

    def value(views, ids, temperature, extra):
        extra = {0: [*extra[0], (stored, IDS)]}
        return EVERY["SupCon"].value(views, ids, temperature, extra=extra)

    np.testing.assert_allclose(found, expected_losses(value, [z], HARD), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (np.array([0.0, 1.0]), TypeError, r"`hard_negatives\[1\]\[1\]` must hold integer ids"),
        (["a", "b"], TypeError, r"`hard_negatives\[1\]\[1\]` must hold integer ids"),
        ([0, -1], ValueError, r"`hard_negatives\[1\]\[1\]` must be in \[0, 2\*\*31\)"),
        ([0, 2**31], ValueError, r"`hard_negatives\[1\]\[1\]` must be in \[0, 2\*\*31\)"),
        ([0, 1, 2], ValueError, "must have one id for each embedding"),
        ([[0, 1]], ValueError, "must have one id for each embedding"),
    ],
)
def test_wrong_ids_raise(ids, error, message):
    z = list(normal(2, 5, 3))
    with pytest.raises(error, match=message):
        InfoNCE()(IDS, z, hard_negatives={1: (HARD[:2], ids)})


def test_ids_of_hard_negatives_need_ids_of_the_rows():
    with pytest.raises(ValueError, match="`y_true` must hold the ids of the rows if hard"):
        InfoNCE()(None, list(normal(2, 5, 3)), hard_negatives={1: (HARD, HARD_IDS)})
