"""Similarities of positives and of the hardest negative, and the effective number of negatives."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.layers import LearnableTemperature
from keras_contrastive.losses import InfoNCE
from keras_contrastive.metrics import EffectiveNegatives, HardestNegative, PositiveSimilarity
from tests.helpers.backend import COMPILE_LEAST, compiled, largest_tensor
from tests.helpers.stateful import trainer
from tests.helpers.towers import pairs
from tests.helpers.views import IDS, WEIGHTS, measure, noisy_views
from tests.reference import pairs as reference

LABELS = np.array([0, 1, 0, 2, 1, 1, 0])


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weights"])
def test_one_view_with_labels_compares_rows_of_the_view(rng, weights):
    (rows,) = noisy_views(rng, 1)
    batches = [([rows], LABELS, weights)]
    for metric, expected in (
        (PositiveSimilarity(), reference.positive_similarity(batches)),
        (HardestNegative(), reference.hardest_negative(batches)),
        (EffectiveNegatives(0.2), reference.effective_negatives(batches, 0.2)),
    ):
        assert measure(metric, (LABELS, rows, weights)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("tiles", [(3, 2)], indirect=True)
def test_compiled_metrics_over_tiles_equal_the_reference(rng, tiles):
    views = noisy_views(rng, noise=1.5)
    metrics = [HardestNegative(), EffectiveNegatives(0.2)]
    states = [[ops.convert_to_tensor(v) for v in metric.variables] for metric in metrics]

    def update(ids, first, second, weights):
        return [
            metric.stateless_update_state(state, ids, [first, second], weights)
            for metric, state in zip(metrics, states, strict=True)
        ]

    arrays = (IDS.astype("int32"), *views, WEIGHTS)
    after = compiled(update)(*map(ops.convert_to_tensor, arrays))
    found = [float(m.stateless_result(a)) for m, a in zip(metrics, after, strict=True)]
    batches = [(views, IDS, WEIGHTS)]
    assert found == pytest.approx(
        [reference.hardest_negative(batches), reference.effective_negatives(batches, 0.2)], rel=1e-5
    )


@pytest.mark.parametrize("metric", [HardestNegative(), EffectiveNegatives(0.2)])
def test_no_matrix_of_all_pairs_is_stored(rng, tile_shape, metric):
    views, ids = noisy_views(rng, rows=300), np.arange(300, dtype="int32") // 3
    state = [np.zeros(variable.shape, "float32") for variable in metric.variables]

    def value(a, b):
        measured = metric.stateless_result(metric.stateless_update_state(state, ids, [a, b]))
        return measured + ops.sum(a) + ops.sum(b)  # The metric itself has no gradient.

    tile_shape((32, 64))
    assert largest_tensor(value, *views) <= 32 * 64
    tile_shape((300, 300))
    assert largest_tensor(value, *views) >= 300**2  # so that a matrix is found


def test_equal_negatives_all_count_and_one_close_negative_counts_alone():
    views = [np.eye(6, dtype="float32")] * 2
    assert measure(EffectiveNegatives(0.05), (None, views)) == pytest.approx(5.0, rel=1e-5)
    twins = [np.eye(6, dtype="float32")[[0, 0, 1, 1, 2, 2]]] * 2
    assert measure(EffectiveNegatives(0.05), (None, twins)) == pytest.approx(1.0, abs=1e-4)
    assert measure(HardestNegative(), (None, twins)) == pytest.approx(1.0, rel=1e-6)
    # Rows of one item are not negatives of each other.
    ids = np.array([0, 0, 1, 1, 2, 2])
    assert measure(EffectiveNegatives(0.05), (ids, twins)) == pytest.approx(4.0, rel=1e-5)
    assert measure(HardestNegative(), (ids, twins)) == pytest.approx(0.0, abs=1e-6)


def test_anchors_without_a_negative_do_not_count():
    views, ids = [np.eye(3, dtype="float32")] * 2, np.zeros(3, "int32")
    for metric in (HardestNegative(), EffectiveNegatives(0.1)):
        assert measure(metric, (ids, views)) == 0.0


@pytest.mark.parametrize("per_direction", [False, True], ids=["one", "per direction"])
def test_temperature_is_that_of_the_loss_by_default(per_direction):
    x, temperature = pairs(), LearnableTemperature(0.5, per_direction=per_direction)
    model = trainer(
        InfoNCE(temperature), learning_rate=0.0, metrics=[EffectiveNegatives()], **COMPILE_LEAST
    )
    model.loss.temperature.log_scale.assign(np.full((2,) * per_direction, np.log(8), "float32"))
    views = [np.asarray(view) for view in model.predict(x, verbose=0).values()]
    logs = model.evaluate(x, batch_size=24, verbose=0, return_dict=True)
    expected = reference.effective_negatives([(views, None, None)], 1 / 8)
    assert logs["effective_negatives"] == pytest.approx(expected, rel=1e-4)


def test_effective_negatives_need_a_temperature_outside_of_the_trainer(rng):
    with pytest.raises(ValueError, match="`temperature` must be a number outside of"):
        EffectiveNegatives().update_state(None, noisy_views(rng))


@pytest.mark.parametrize(
    ("value", "error"), [(0.0, ValueError), (-1, ValueError), ("1", TypeError), (True, TypeError)]
)
def test_temperature_must_be_positive(value, error):
    with pytest.raises(error, match="`temperature` must be `None` or a positive, finite number"):
        EffectiveNegatives(value)


@pytest.mark.parametrize(
    ("monitor", "best"), [("positive_similarity", np.greater), ("hardest_negative", np.less)]
)
def test_callbacks_know_the_direction(monitor, best):
    metrics = [PositiveSimilarity(), HardestNegative()]
    model = trainer(InfoNCE(), metrics=metrics, **COMPILE_LEAST)
    stop = keras.callbacks.EarlyStopping(monitor, patience=5)
    model.fit(pairs(), batch_size=24, verbose=0, callbacks=[stop])
    assert stop.monitor_op in (best, getattr(ops, best.__name__))


def test_monitor_of_effective_negatives_needs_a_mode():
    model = trainer(InfoNCE(), metrics=[EffectiveNegatives()], **COMPILE_LEAST)
    stop = keras.callbacks.EarlyStopping("effective_negatives")
    with pytest.raises(ValueError, match="mode"):
        model.fit(pairs(), batch_size=24, verbose=0, callbacks=[stop])
