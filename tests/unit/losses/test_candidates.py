"""Candidates from outside of the batch: hard negatives and a queue of earlier embeddings."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.config import set_tile_shape
from keras_contrastive.layers import EmbeddingQueue
from keras_contrastive.losses import InfoNCE, SupCon
from tests.contracts.loss_cases import EVERY, LOSSES, STORED
from tests.helpers import normal
from tests.helpers.backend import FASTEST, gradients, to_numpy, value_and_gradients
from tests.reference.differences import numeric_gradient
from tests.reference.losses import normalized

IDS = [7, 3, 7, 0, 3]
NO_ITEM_ID = -1


def remembering(case, size, dim=3, views=2, **kwargs):
    loss = case.make(memory=EmbeddingQueue(size, dim), **kwargs)
    loss.build(None if views == 2 else [])
    return loss


@pytest.mark.parametrize("case", EVERY.values(), ids=EVERY.keys())
def test_hard_negatives_are_never_positives(case):
    a, b = normal(2, 5, 3)
    hard = {0: normal(2, 3, seed=8), 1: normal(4, 3, seed=9)}
    extra = {view: [(rows, [NO_ITEM_ID] * len(rows))] for view, rows in hard.items()}
    loss = case.make(temperature=0.5, reduction=None)
    found = to_numpy(loss(np.array(IDS), (a, b), hard_negatives=hard))
    np.testing.assert_allclose(
        found, case.value((a, b), IDS, 0.5, extra=extra), rtol=1e-4, atol=1e-5
    )
    differs = found != to_numpy(loss(np.array(IDS), (a, b)))
    assert np.all(differs) or (not case.smooth and np.any(differs))


@pytest.mark.parametrize(
    "name", ["InfoNCE", "NTXent", "SupCon", "SigmoidContrastive", "InfoNCE, jackknife"]
)
def test_gradient_of_hard_negatives_equals_differences(name):
    case = EVERY[name]
    a, b, hard = normal(2, 5, 3)[0], normal(2, 5, 3)[1], normal(4, 3, seed=9)
    loss = case.make(temperature=0.5)
    found = gradients(
        lambda hard, a: loss(np.array(IDS), (a, b), hard_negatives={1: hard}), hard, a, **FASTEST
    )
    for gradient, at, z in ((found[0], lambda x: (a, x), hard), (found[1], lambda x: (x, hard), a)):
        expected = numeric_gradient(
            lambda x, at=at: case.objective(
                (at(x)[0], b), IDS, 0.5, extra={1: [(at(x)[1], [NO_ITEM_ID] * 4)]}
            ).mean(),
            z,
        )
        np.testing.assert_allclose(gradient, expected, atol=2e-5)


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in LOSSES if name in STORED),
        *("InfoNCE, jackknife", "DecoupledContrastive, weighted"),
    ],
)
def test_tiles_change_neither_value_nor_gradient(name):
    ids, weights = np.array([7, 3, 7, 0, 3, 9, 9]), np.linspace(0, 2, 7).astype("float32")
    first, z, hard = normal(2, 7, 3, seed=1), normal(2, 7, 3), normal(5, 3, seed=9)
    results = []
    for shape in (None, (3, 2)):
        set_tile_shape(shape)
        loss = remembering(EVERY[name], size=9, temperature=0.5)
        loss(ids, list(first), training=True)

        def weighted(a, b, hard, loss=loss):
            return loss(ids, (a, b), weights, training=True, hard_negatives={1: hard})

        results.append(
            value_and_gradients(weighted, *z, hard, variables=loss.memory.variables, **FASTEST)
        )
    (value, expected), (tiled_value, found) = results
    assert tiled_value == pytest.approx(value, rel=1e-5)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)
        assert (
            np.abs(x).max() > 1e-5
        )  # SigLIP starts where almost all pairs are negatives, and says little


def test_hard_negatives_are_assigned_by_view_name():
    a, b = normal(2, 5, 3)
    hard = normal(4, 3, seed=9)
    loss = InfoNCE()
    by_name = loss(None, {"image": a, "text": b}, hard_negatives={"text": hard})
    assert float(by_name) == float(loss(None, (a, b), hard_negatives={1: hard}))
    with pytest.raises(ValueError, match="must name views of this batch"):
        loss(None, {"image": a, "text": b}, hard_negatives={"sound": hard})
    with pytest.raises(ValueError, match="with the size of the embeddings"):
        loss(None, (a, b), hard_negatives={1: hard[:, :2]})


@pytest.mark.parametrize(("with_ids", "tiles"), [(True, None), (False, (3, 2))], indirect=["tiles"])
@pytest.mark.parametrize(
    "name", ["InfoNCE", "NTXent", "SupCon", "SigmoidContrastive", "GammaContrastive"]
)
def test_queued_embeddings_are_candidates_of_the_next_batches(name, with_ids, tiles):
    case, ids = EVERY[name], IDS if with_ids else list(range(5))
    loss = remembering(case, size=7, temperature=0.5, reduction=None)
    given = np.array(ids) if with_ids else None
    # Three batches of five in a queue of seven: empty, partly filled, full and overwritten.
    queue = [[], []]
    for step in range(3):
        z = normal(2, 5, 3, seed=step)
        found = to_numpy(loss(given, list(z), training=True))
        kept = {
            view: [(np.array([row for row, _ in rows]), [i for _, i in rows])]
            for view, rows in enumerate(queue)
        }
        extra = kept if queue[0] else None
        expected = case.value(z, ids, 0.5, extra=extra)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        for view in (0, 1):
            rows = zip(normalized(z[view]), ids if with_ids else [NO_ITEM_ID] * 5, strict=True)
            queue[view] = [*queue[view], *rows][-7:]


def test_gradient_with_a_queue_equals_differences():
    case = EVERY["InfoNCE"]
    loss = remembering(case, size=6, temperature=0.5)
    first, (a, b) = normal(2, 5, 3, seed=1), normal(2, 5, 3)
    loss(np.array(IDS), list(first), training=True)
    variables = loss.memory.variables
    found = gradients(
        lambda a, b: loss(np.array(IDS), (a, b), training=True), a, b, variables=variables
    )
    extra = {view: [(first[view], IDS)] for view in (0, 1)}
    for z, gradient, at in ((a, found[0], lambda x: (x, b)), (b, found[1], lambda x: (a, x))):
        expected = numeric_gradient(
            lambda x, at=at: case.value(at(x), IDS, 0.5, extra=extra).mean(), z
        )
        np.testing.assert_allclose(gradient, expected, atol=2e-5)


def test_a_large_batch_leaves_its_last_rows_in_the_queue():
    queue = EmbeddingQueue(3, dim=2)
    queue.build(1)
    rows = normal(5, 2)
    queue.push([ops.convert_to_tensor(rows)], ops.arange(5, dtype="int32"))
    assert sorted(to_numpy(queue.ids)) == [2, 3, 4]
    order = np.argsort(to_numpy(queue.ids))
    np.testing.assert_array_equal(to_numpy(queue.embeddings)[order, 0], rows[2:])


def test_evaluation_reads_the_queue_without_changing_it():
    loss = remembering(EVERY["InfoNCE"], size=6, temperature=0.5)
    z = list(normal(2, 5, 3))
    loss(None, z, training=True)
    before = to_numpy(loss.memory.embeddings).copy()
    values = [float(loss(None, z, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(to_numpy(loss.memory.embeddings), before)
    assert values[0] == values[1] > float(InfoNCE(temperature=0.5)(None, z))


def test_queued_rows_with_the_label_are_positives_of_a_single_view():
    loss = SupCon(temperature=0.5, memory=EmbeddingQueue(5, 3), reduction=None)
    loss.build([])
    first, z = normal(5, 3, seed=1), normal(5, 3)
    labels = np.array([0, 1, 2, 3, 4])  # the only positive of each row is in the queue
    loss(labels, first, training=True)
    expected = EVERY["SupCon"].value([z], labels, 0.5, extra={0: [(first, labels)]})
    assert np.all(expected != 0)
    np.testing.assert_allclose(to_numpy(loss(labels, z, training=True)), expected, rtol=1e-4)


@pytest.mark.parametrize(("size", "dim"), [(0, 2), (3, 0), (2.5, 3), (True, 3)])
def test_sizes_of_a_queue_are_positive_integers(size, dim):
    with pytest.raises((TypeError, ValueError), match="positive integer"):
        EmbeddingQueue(size, dim)


def test_a_queue_for_other_embeddings_raises():
    loss = remembering(EVERY["InfoNCE"], size=6, dim=4)
    with pytest.raises(ValueError, match="dimension 4"):
        loss(None, list(normal(2, 5, 3)), training=True)
    with pytest.raises(TypeError, match="EmbeddingQueue"):
        InfoNCE(memory=4096)
    with pytest.raises(ValueError, match="neither trains nor"):
        InfoNCE(memory=EmbeddingQueue(6, 3))(None, list(normal(2, 5, 3)))


def test_config_of_a_loss_contains_its_queue():
    loss = InfoNCE(memory=EmbeddingQueue(6, 3, warmup_steps=2))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert (again.memory.size, again.memory.dim, again.memory.warmup_steps) == (6, 3, 2)


def test_embeddings_of_the_first_steps_are_no_candidates():
    loss = InfoNCE(0.5, memory=EmbeddingQueue(10, 3, warmup_steps=2))
    loss.build()
    plain = remembering(EVERY["InfoNCE"], size=10, temperature=0.5)
    batches = [list(normal(2, 5, 3, seed=seed)) for seed in range(5)]
    alone = [float(InfoNCE(0.5)(None, z)) for z in batches]
    values = [float(loss(None, z, training=True)) for z in batches]
    assert values[:3] == pytest.approx(alone[:3], rel=1e-6)
    expected = [float(plain(None, z, training=True)) for z in batches[2:]]
    assert values[2:] == pytest.approx(expected, rel=1e-6)
    assert values[3] > alone[3] + 0.1


def test_a_queue_without_a_dimension_raises_in_a_loop_of_ones_own():
    loss = InfoNCE(memory=EmbeddingQueue(6))
    loss.build()
    with pytest.raises(ValueError, match=r"embedding_queue.* not built.*needs `dim`"):
        loss(None, list(normal(2, 5, 3)), training=True)


def test_rows_without_ids_have_no_positives_in_the_queue():
    values = []
    for offset in (0, 100):
        loss = remembering(EVERY["SupCon"], size=6, temperature=0.5)
        loss(np.arange(5) + offset, list(normal(2, 5, 3, seed=1)), training=True)
        values.append(float(loss(None, list(normal(2, 5, 3)), training=False)))
    assert values[0] == pytest.approx(values[1], rel=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_one_view_with_labels_accepts_hard_negatives(name):
    labels, z, hard = [0, 1, 0, 1, 2], normal(5, 3), normal(4, 3, seed=9)
    loss = EVERY[name].make(temperature=0.5, reduction=None)
    expected = EVERY[name].value([z], labels, 0.5, extra={0: [(hard, [NO_ITEM_ID] * 4)]})
    np.testing.assert_allclose(
        to_numpy(loss(np.array(labels), z, hard_negatives={0: hard})), expected, rtol=1e-4
    )


def test_an_empty_array_of_hard_negatives_has_no_effect():
    z = list(normal(2, 5, 3))
    found = InfoNCE()(None, z, hard_negatives={1: np.zeros((0, 3), "float32")})
    assert float(found) == float(InfoNCE()(None, z))


def test_gradient_of_equal_views_equals_differences():
    z = normal(5, 3)
    found = gradients(lambda a, b: EVERY["NTXent"].make(temperature=0.5)(None, (a, b)), z, z)
    for which, at in enumerate((lambda x: (x, z), lambda x: (z, x))):
        expected = numeric_gradient(
            lambda x, at=at: EVERY["NTXent"].value(at(x), range(5), 0.5).mean(), z
        )
        np.testing.assert_allclose(found[which], expected, atol=2e-5)


def test_unbuilt_layers_and_other_views_raise():
    z = list(normal(2, 5, 3))
    with pytest.raises(ValueError, match="must be built"):
        InfoNCE(memory=EmbeddingQueue(6, 3))(None, z, training=True)
    loss = EVERY["GammaContrastive"].make(num_items=9)
    loss.build()
    with pytest.raises(ValueError, match="running partitions for 2"):
        loss(np.arange(5), list(normal(3, 5, 3)), training=True)
    for directions in ({(0, 0): 1.0}, [(0, 1)], {(0, 2): 1.0}, {}):
        with pytest.raises(ValueError, match=r"from pairs of different views|must name views"):
            InfoNCE()(None, z, directions=directions)
