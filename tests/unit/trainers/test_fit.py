"""Data that `fit`, `evaluate` and batch methods accept: arrays, data sets, ids, weights."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive.layers import LearnableTemperature
from keras_contrastive.losses import InfoNCE
from keras_contrastive.metrics import RecallAtK
from tests.helpers.backend import DATA_KINDS
from tests.helpers.stateful import IDS, rates, rows, stateful_loss, step, trainer
from tests.helpers.towers import pairs

each_kind_of_data = pytest.mark.parametrize(
    "kind",
    [
        # Keras finds the number of steps of a generator when it ends, and warns.
        pytest.param(kind, marks=pytest.mark.filterwarnings("ignore:Your input ran out of data"))
        if kind == "generator"
        else kind
        for kind in DATA_KINDS
    ],
)


def test_row_numbers_are_the_ids_of_arrays_with_num_items_rows():
    model = trainer()
    assert not np.isfinite(rates(model)).any()
    model.fit(pairs(), batch_size=8, shuffle=True, verbose=0)
    assert rates(model).shape == (24, 2)
    assert np.isfinite(rates(model)).all()
    assert step(model) == 3


@pytest.mark.traced
def test_row_numbers_follow_the_rows_through_a_shuffle():
    shuffled, in_order = trainer(learning_rate=0.0), trainer(learning_rate=0.0)
    shuffled.fit(pairs(), batch_size=24, shuffle=True, verbose=0)
    in_order.fit(pairs(), IDS, batch_size=24, shuffle=False, verbose=0)
    np.testing.assert_allclose(rates(shuffled), rates(in_order), atol=1e-5)


def test_state_belongs_to_the_given_ids():
    model = trainer()
    model.fit(rows(4), np.array([3, 20, 7, 11]), verbose=0)
    assert np.flatnonzero(np.isfinite(rates(model)).all(axis=1)).tolist() == [3, 7, 11, 20]


@pytest.mark.parametrize(
    "batch_size", [10, 23], ids=["a short last batch", "a last batch of one row"]
)
def test_every_row_counts_with_a_short_last_batch(batch_size):
    model = trainer(stateful_loss(temperature=LearnableTemperature(0.5)))
    history = model.fit(pairs(), batch_size=batch_size, shuffle=False, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert all(
        np.isfinite(weight).all() for weight in map(ops.convert_to_numpy, model.trainable_weights)
    )
    seen_with_others = (24 // batch_size) * batch_size if 24 % batch_size == 1 else 24
    assert np.isfinite(rates(model)).all(axis=1).sum() == seen_with_others
    assert not np.isnan(rates(model)).any()


def test_fit_accepts_positional_arguments_as_keras_does():
    model = trainer()
    history = model.fit(pairs(), None, 16, 2, 0)
    assert len(history.history["loss"]) == 2
    assert step(model) == 4


@pytest.mark.parametrize(
    "validation", [(pairs(seed=1), None), (pairs(seed=1),)], ids=["with None", "alone"]
)
def test_validation_data_needs_no_ids(validation):
    model = trainer(metrics=[RecallAtK(1)])
    history = model.fit(pairs(), validation_data=validation, epochs=2, verbose=0).history
    assert set(history) == {"loss", "recall_at_1", "val_loss", "val_recall_at_1"}
    assert history["val_loss"][-1] == pytest.approx(
        model.evaluate(pairs(seed=1), verbose=0)[0], rel=1e-4
    )
    assert step(model) == 2


def test_rows_of_validation_split_have_no_state():
    model = trainer()
    history = model.fit(pairs(), validation_split=0.25, verbose=0).history
    assert np.isfinite(history["val_loss"]).all()
    assert np.isfinite(rates(model)).all(axis=1).tolist() == [True] * 18 + [False] * 6


@pytest.mark.traced
@each_kind_of_data
def test_data_sets_with_ids_train_as_arrays_do(kind):
    from_arrays, from_data = trainer(), trainer()
    expected = from_arrays.fit(pairs(), batch_size=10, shuffle=False, verbose=0)
    history = from_data.fit(
        DATA_KINDS[kind]((pairs(), IDS), batch_size=10), shuffle=False, verbose=0
    )
    assert history.history["loss"] == pytest.approx(expected.history["loss"], rel=1e-5)
    np.testing.assert_allclose(rates(from_data), rates(from_arrays), atol=1e-5)


@each_kind_of_data
def test_data_sets_without_ids_train_as_arrays_do(kind):
    expected = trainer(InfoNCE()).fit(pairs(), batch_size=10, shuffle=False, verbose=0)
    history = trainer(InfoNCE()).fit(
        DATA_KINDS[kind]((pairs(),), batch_size=10), shuffle=False, verbose=0
    )
    assert history.history["loss"] == pytest.approx(expected.history["loss"], rel=1e-5)


@each_kind_of_data
def test_data_sets_can_have_sample_weights(kind):
    weights = np.linspace(0, 2, 24, dtype="float32")
    data = DATA_KINDS[kind]((pairs(), IDS, weights), batch_size=12)
    expected = trainer().evaluate(pairs(), IDS, 12, sample_weight=weights, verbose=0)
    assert trainer().evaluate(data, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_sample_weights_weigh_the_anchors():
    x, weights = pairs(), np.linspace(0, 2, 24).astype("float32")
    model = trainer(
        InfoNCE(),
        learning_rate=0.0,
        metrics=[RecallAtK(1)],
        weighted_metrics=[RecallAtK(1, name="weighted")],
    )
    embeddings = model.predict(x, verbose=0)
    each = ops.convert_to_numpy(InfoNCE(reduction=None)(None, embeddings))
    logs = model.fit(x, sample_weight=weights, batch_size=24, verbose=0).history
    assert logs["loss"][0] == pytest.approx(np.mean(weights * each), rel=1e-4)
    plain, weighted = RecallAtK(1), RecallAtK(1)
    plain.update_state(None, embeddings)
    weighted.update_state(None, embeddings, weights)
    assert logs["recall_at_1"][0] == pytest.approx(float(plain.result()), rel=1e-5)
    assert logs["weighted"][0] == pytest.approx(float(weighted.result()), rel=1e-5)
    assert logs["weighted"] != logs["recall_at_1"]


def test_sample_weights_count_without_ids_in_evaluation_and_validation():
    x, weights = pairs(), np.linspace(0, 2, 24).astype("float32")
    model = trainer(InfoNCE(), learning_rate=0.0)
    expected = model.evaluate(x, IDS, sample_weight=weights, verbose=0)
    assert abs(expected - model.evaluate(x, verbose=0)) > 0.1
    assert model.evaluate(x, sample_weight=weights, verbose=0) == pytest.approx(expected, rel=1e-5)
    history = model.fit(x, validation_data=(x, None, weights), verbose=0).history
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_row_numbers_and_sample_weights_go_together():
    model = trainer()
    model.fit(pairs(), sample_weight=np.ones(24, "float32"), verbose=0)
    assert np.isfinite(rates(model)).all()


def test_metrics_see_ids_and_all_views():
    x, ids = pairs(), np.repeat(np.arange(12), 2)
    model = trainer(InfoNCE(), metrics=[RecallAtK(1), RecallAtK(3)])
    expected = RecallAtK(1)
    expected.update_state(ids, model.predict(x, verbose=0))
    logs = model.evaluate(x, ids, verbose=0, return_dict=True)
    assert logs["recall_at_1"] == pytest.approx(float(expected.result()), rel=1e-5)
    assert logs["recall_at_3"] >= logs["recall_at_1"]


def test_each_evaluation_resets_the_metrics():
    model = trainer(InfoNCE(), metrics=[RecallAtK(1)])
    first = model.evaluate(pairs(), verbose=0)
    model.evaluate(pairs(seed=4), verbose=0)
    assert model.evaluate(pairs(), verbose=0) == pytest.approx(first, rel=1e-6)


@pytest.mark.traced
def test_evaluation_changes_no_state():
    model = trainer()
    model.fit(pairs(), verbose=0)
    before, steps = rates(model), step(model)
    model.evaluate(pairs(seed=1), IDS, verbose=0)
    model.test_on_batch(pairs(seed=1), IDS)
    assert np.array_equal(rates(model), before)
    assert step(model) == steps


def test_train_on_batch_and_test_on_batch():
    model = trainer(metrics=[RecallAtK(1)])
    before = model.test_on_batch(pairs(), IDS, return_dict=True)
    logs = model.train_on_batch(pairs(), IDS, return_dict=True)
    assert float(logs["loss"]) == pytest.approx(float(before["loss"]), rel=1e-4)
    for _ in range(10):
        model.train_on_batch(pairs(), IDS)
    assert float(model.test_on_batch(pairs(), IDS)[0]) < float(before["loss"]) - 0.1
    assert step(model) == 11
