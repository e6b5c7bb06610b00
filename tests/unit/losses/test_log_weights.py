"""Log-weights of candidates: rows of the batch, hard negatives, and a queue."""

import functools
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.extend import Candidates
from keras_contrastive.layers import EmbeddingQueue
from keras_contrastive.losses import DecoupledContrastive, InfoNCE, NTXent, SupCon
from tests.contracts.loss_cases import EVERY, LOSSES
from tests.helpers import normal
from tests.helpers.backend import FASTEST, gradients, to_numpy
from tests.reference.differences import numeric_gradient
from tests.reference.losses import normalized

IDS = [7, 3, 7, 0, 3]
NO_ITEM_ID = -1
TAKERS = [name for name, case in EVERY.items() if case.make().takes_log_weights]
WEIGHTS = {0: normal(5, seed=5), 1: normal(5, seed=6)}
HARD, HARD_WEIGHTS = normal(4, 3, seed=9), normal(4, seed=7)
EXTRA = {1: [(HARD, [NO_ITEM_ID] * 4, HARD_WEIGHTS)]}


def hard_negatives(view=1, embeddings=HARD):
    return {view: Candidates(embeddings, log_weights=HARD_WEIGHTS)}


@pytest.mark.parametrize("name", TAKERS)
def test_values_equal_the_reference(name):
    case, views = EVERY[name], list(normal(2, 5, 3))
    loss = case.make(temperature=0.5, reduction=None)
    value = functools.partial(case.value, views, IDS, 0.5)
    if name == "Matryoshka":  # its reference has no log-weights
        parts = [
            EVERY["InfoNCE"].value([z[:, :d] for z in views], IDS, 0.5, log_weights=WEIGHTS)
            for d in (3, 2)
        ]
        expected = (3 * parts[0] + parts[1]) / 4
        found = loss(np.array(IDS), views, log_weights=WEIGHTS)
    else:
        expected = value(log_weights=WEIGHTS, extra=EXTRA)
        found = loss(np.array(IDS), views, log_weights=WEIGHTS, hard_negatives=hard_negatives())
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("name", ["InfoNCE", "SupCon", "InfoNCE, jackknife"])
def test_one_view_with_labels_equals_the_reference(name):
    z = normal(5, 3)
    loss = EVERY[name].make(temperature=0.5, reduction=None)
    expected = EVERY[name].value([z], IDS, 0.5, log_weights={0: WEIGHTS[0]}, extra={0: EXTRA[1]})
    found = loss(np.array(IDS), z, log_weights={0: WEIGHTS[0]}, hard_negatives=hard_negatives(0))
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "tiles"),
    [
        ("InfoNCE", None),
        ("NTXent", (3, 2)),
        ("SupCon", (3, 2)),
        pytest.param("InfoNCE", (3, 2), marks=pytest.mark.slow_to_compile),
        pytest.param("DecoupledContrastive", None, marks=pytest.mark.slow_to_compile),
        pytest.param("InfoNCE, jackknife", (3, 2), marks=pytest.mark.slow_to_compile),
    ],
    indirect=["tiles"],
)
def test_gradients_equal_differences(name, tiles):
    (a, b), case = normal(2, 5, 3), EVERY[name]
    loss = case.make(temperature=0.5)

    def total(a, hard):
        return loss(
            np.array(IDS), (a, b), log_weights=WEIGHTS, hard_negatives=hard_negatives(1, hard)
        )

    found = gradients(total, a, HARD, **FASTEST)
    for which, at in enumerate((lambda x: (x, HARD), lambda x: (a, x))):
        expected = numeric_gradient(
            lambda x, at=at: case.objective(
                (at(x)[0], b),
                IDS,
                0.5,
                log_weights=WEIGHTS,
                extra={1: [(at(x)[1], [NO_ITEM_ID] * 4, HARD_WEIGHTS)]},
            ).mean(),
            (a, HARD)[which],
        )
        np.testing.assert_allclose(found[which], expected, atol=2e-5)


def test_the_logq_correction_equals_that_of_keras_rs():
    # `SamplingProbabilityCorrection.call`: logits - log(clip(probability, epsilon, 1)), of all
    # candidates, then a softmax cross-entropy with the row's own candidate as the label.
    queries, items = normal(2, 6, 4)
    probabilities = np.array([0.5, 0.01, 0.2, 1e-9, 1.0, 0.07])
    log_q = np.log(np.clip(probabilities, 1e-6, 1.0))
    logits = queries.astype("float64") @ items.T.astype("float64") / 0.3 - log_q
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - np.diag(logits))
    loss = InfoNCE(0.3, symmetric=False, normalize=False)
    found = loss(None, {"query": queries, "item": items}, log_weights={"item": -log_q})
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow_to_compile
def test_equal_log_weights_change_nothing():
    z = list(normal(2, 5, 3))
    for loss in (InfoNCE(0.5), NTXent(0.5), SupCon(0.5), DecoupledContrastive(0.5)):
        found = loss(None, z, log_weights={0: np.full(5, 2.0), 1: np.full((5, 1), 2)})
        assert float(found) == pytest.approx(float(loss(None, z)), rel=1e-5)


@pytest.mark.slow_to_compile
def test_missing_rows_have_no_influence():
    views, present = normal(2, 5, 3), np.array([True, False, True, True, True])
    weights = WEIGHTS[1].copy()
    weights[1] = 60.0
    loss = NTXent(0.5, reduction=None)
    found = to_numpy(loss(None, list(views), present={1: present}, log_weights={1: weights}))
    weights[1] = -60.0
    again = to_numpy(loss(None, list(views), present={1: present}, log_weights={1: weights}))
    np.testing.assert_allclose(found, again, rtol=1e-6)
    assert found[1] == 0


@pytest.mark.slow_to_compile
def test_a_queue_stores_them_with_the_rows():
    loss = InfoNCE(0.5, memory=EmbeddingQueue(7, 3, log_weights=True), reduction=None)
    loss.build()
    first, z = normal(2, 5, 3, seed=1), list(normal(2, 5, 3))
    loss(np.array(IDS), list(first), training=True, log_weights=WEIGHTS)
    extra = {view: [(first[view], IDS, WEIGHTS[view])] for view in (0, 1)}
    expected = EVERY["InfoNCE"].value(z, IDS, 0.5, extra=extra)
    np.testing.assert_allclose(to_numpy(loss(np.array(IDS), z, training=True)), expected, rtol=1e-4)
    # The last two of the first batch remain, and the second batch has no log-weights.
    extra = {
        view: [(first[view][3:], IDS[3:], WEIGHTS[view][3:]), (z[view], IDS)] for view in (0, 1)
    }
    expected = EVERY["InfoNCE"].value(z, IDS, 0.5, extra=extra)
    np.testing.assert_allclose(
        to_numpy(loss(np.array(IDS), z, training=False)), expected, rtol=1e-4
    )


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("name", ["InfoNCE", "NTXent", "SupCon", "DecoupledContrastive"])
def test_rows_of_the_batch_keep_their_share(name):
    share = 0.8
    # Five rows with four others each, and nine stored rows of other items.
    queue = EmbeddingQueue(9, 3, batch_share=share)
    loss = EVERY[name].make(temperature=0.5, reduction=None, memory=queue)
    loss.build()
    stored = [normalized(view) for view in normal(2, 9, 3, seed=1)]
    z = list(normal(2, 5, 3))
    log_weight = math.log(4 / 9 * (1 - share) / share)
    queue.push(list(map(ops.convert_to_tensor, stored)), ops.arange(20, 29, dtype="int32"))
    extra = {view: [(stored[view], range(20, 29), [log_weight] * 9)] for view in (0, 1)}
    expected = EVERY[name].value(z, list(range(5)), 0.5, extra=extra)
    found = loss(np.arange(5), z, training=False)
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow_to_compile
def test_an_empty_queue_and_a_batch_of_one_row_are_finite():
    loss = DecoupledContrastive(0.5, memory=EmbeddingQueue(4, 3, batch_share=0.5))
    loss.build()
    z = list(normal(2, 5, 3))
    empty = loss(None, z, training=True)
    assert float(empty) == pytest.approx(float(DecoupledContrastive(0.5)(None, z)), rel=1e-6)
    assert np.isfinite(float(loss(None, [view[:1] for view in z], training=False)))


def test_config_of_a_queue_contains_both_options():
    queue = EmbeddingQueue(4, 3, batch_share=0.5, log_weights=True)
    config = keras.saving.serialize_keras_object(InfoNCE(memory=queue))
    again = keras.saving.deserialize_keras_object(config).memory
    assert (again.batch_share, again.log_weights) == (0.5, True)


@pytest.mark.parametrize(
    "name",
    [name for name in LOSSES if name not in TAKERS] + ["DecoupledContrastive, weighted"],
)
def test_other_losses_raise(name):
    z, case = list(normal(2, 5, 3)), EVERY[name]
    for arguments in ({"log_weights": WEIGHTS}, {"hard_negatives": hard_negatives()}):
        with pytest.raises(ValueError, match="`log_weights` must be `None` for this loss"):
            case.make()(None, z, **arguments)
    if case.stored:
        loss = case.make(memory=EmbeddingQueue(4, 3, batch_share=0.5))
        with pytest.raises(ValueError, match="`batch_share` must be `None` for this loss"):
            loss.build()


WRONG = {
    "shape": ({1: np.zeros(4)}, ValueError, r"`log_weights\[1\]` must have the shape `\(5,\)`"),
    "strings": ({1: ["a"] * 5}, TypeError, r"`log_weights\[1\]` must contain one number"),
    "bools": ({1: np.ones(5, bool)}, TypeError, r"`log_weights\[1\]` must contain one number"),
    "infinite": (
        {1: np.array([-np.inf, 0, 0, 0, 0])},
        ValueError,
        r"`log_weights\[1\]` must be finite.*clip the probabilities",
    ),
    "view": ({"sound": np.zeros(5)}, ValueError, "`log_weights` must name views of this batch"),
    "array": (np.zeros(5), TypeError, "`log_weights` must be `None` or a dict from views"),
    "twice": ({1: np.zeros(5), "text": np.zeros(5)}, ValueError, "one entry per view"),
}


@pytest.mark.parametrize(("given", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_log_weights_raise(given, error, message):
    a, b = normal(2, 5, 3)
    with pytest.raises(error, match=message):
        InfoNCE()(None, {"image": a, "text": b}, log_weights=given)


def test_a_queue_without_log_weights_and_wrong_shares_raise():
    loss = InfoNCE(memory=EmbeddingQueue(4, 3))
    loss.build()
    with pytest.raises(ValueError, match="`memory` must store log-weights"):
        loss(None, list(normal(2, 5, 3)), training=True, log_weights=WEIGHTS)
    for share in (0, 1.0, "half"):
        with pytest.raises((TypeError, ValueError), match="`batch_share`"):
            EmbeddingQueue(4, 3, batch_share=share)
    hard = {1: Candidates(HARD, log_weights=HARD_WEIGHTS[:3])}
    with pytest.raises(ValueError, match=r"`hard_negatives\[1\].log_weights` must have the shape"):
        InfoNCE()(None, list(normal(2, 5, 3)), hard_negatives=hard)
