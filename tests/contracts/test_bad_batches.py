"""One batch with NaN or infinite embeddings leaves the state of every loss and layer as it was."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import losses
from keras_contrastive.layers import EmbeddingQueue, LearnableTemperature, MomentumTeacher
from tests.contracts.loss_cases import EVERY, STORED
from tests.helpers.backend import to_numpy

IDS = np.arange(6)


def batches(count=4, seed=0):
    return list(np.random.default_rng(seed).normal(size=(count, 2, 6, 3)).astype("float32"))


def spoiled(views, value, rows):
    views = views.copy()
    views[0, rows, 1] = value
    return views


def train(loss, ids, batch):
    return float(loss(ids, tuple(batch), training=True))


def with_rates(kind, **kwargs):
    make = {"gamma": losses.GammaContrastive, "global": losses.GlobalContrastive}[kind]
    return make(num_items=6, temperature=0.5, **kwargs)


RATES = {
    "gamma": lambda: with_rates("gamma"),
    "gamma, visits": lambda: with_rates("gamma", momentum="visits"),
    "gamma, unlimited": lambda: with_rates("gamma", prior=np.inf),
    "gamma, shared": lambda: losses.GammaContrastive(0.5),
    "gamma, positive": lambda: with_rates("gamma", include_positive=True),
    "gamma, learned": lambda: losses.GammaContrastive(LearnableTemperature(0.5), num_items=6),
    "global": lambda: with_rates("global"),
    "global, learned": lambda: losses.GlobalContrastive(6, LearnableTemperature(0.5)),
}
bad_values = pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
bad_rows = pytest.mark.parametrize("rows", [[2], range(6)], ids=["one row", "all rows"])


@bad_values
@bad_rows
@pytest.mark.parametrize("first", [False, True], ids=["later", "first"])
@pytest.mark.parametrize("name", RATES)
def test_item_rates_stay_as_they_were(name, value, rows, first):
    good, bad = RATES[name](), RATES[name]()
    good.build()
    bad.build()
    start, *rest = batches()
    for loss in (good, bad):
        if not first:
            train(loss, IDS, start)
    train(bad, IDS, spoiled(start, value, rows))
    for batch in rest:
        assert train(bad, IDS, batch) == pytest.approx(train(good, IDS, batch), rel=1e-6)
    for mine, expected in zip(bad.state.variables, good.state.variables, strict=True):
        if mine.name not in ("step", "num_capped"):  # the bad step is a step
            if rows == [2]:
                assert not np.isnan(to_numpy(mine)).any()
            else:
                np.testing.assert_allclose(to_numpy(mine), to_numpy(expected), rtol=1e-6)


@bad_values
@bad_rows
@pytest.mark.parametrize("normalize", [True, False], ids=["cosine", "product"])
@pytest.mark.parametrize("name", STORED)
def test_queue_never_serves_a_row_that_is_not_finite(name, value, rows, normalize):
    loss, twin = (
        EVERY[name].make(temperature=2.0, normalize=normalize, memory=EmbeddingQueue(24, 3))
        for _ in range(2)
    )
    start, *rest = batches()
    for each in (loss, twin):
        each.build(num_views=2)
    # What remains of the bad batch is what a batch without these rows pushes.
    train(loss, IDS, spoiled(start, value, rows))
    assert np.all(np.isfinite(to_numpy(loss.memory.embeddings)))
    present = np.ones(6, bool)
    present[list(rows)] = False
    twin(IDS, tuple(start), training=True, present={0: present})
    for batch in rest:
        found = train(loss, IDS, batch)
        assert np.isfinite(found)
        assert found == pytest.approx(train(twin, IDS, batch), rel=1e-5, abs=1e-6)


# JAX holds 32-bit floats, and says so.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_values_beyond_float32_are_not_stored():
    queue = EmbeddingQueue(4, 2)
    queue.build(1)
    queue.push([ops.cast(np.array([[1e300, 0.0], [1.0, 2.0]]), "float64")], None)
    assert np.all(np.isfinite(to_numpy(queue.embeddings)))
    assert to_numpy(queue.ids).tolist()[1] == -1


@bad_values
@pytest.mark.parametrize("before", [1, 3])
def test_averages_of_the_teacher_take_only_finite_weights(value, before):
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    teacher = MomentumTeacher(0.9)
    teacher.follow([layer])
    for _ in range(before):
        teacher.update()
    expected = [to_numpy(average) for average in teacher.averages]
    weights = layer.get_weights()
    broken = [weight.copy() for weight in weights]
    broken[0][1, 1] = value
    layer.set_weights(broken)
    teacher.update()
    layer.set_weights(weights)
    for _ in range(2):
        teacher.update()
    for average, kept in zip(teacher.averages, expected, strict=True):
        np.testing.assert_allclose(to_numpy(average), kept, rtol=1e-6)


def test_constant_infinite_weight_has_itself_as_average():
    layer = keras.layers.Dense(1)
    layer.build((None, 2))
    layer.set_weights([np.array([[-np.inf], [1.0]]), np.zeros(1)])
    teacher = MomentumTeacher(0.9)
    teacher.follow([layer])
    for _ in range(3):
        teacher.update()
    assert to_numpy(teacher.averages[0]).ravel().tolist() == [-np.inf, 1.0]
