"""Hard negatives with ids, and several for each row, inside the trainer."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.evaluation import mine_hard_negatives
from keras_contrastive.layers import EmbeddingQueue
from keras_contrastive.losses import InfoNCE
from tests.helpers.backend import COMPILE_LEAST, DATA_KINDS
from tests.helpers.towers import pairs, towers

ROWS = 12
IDS = np.random.default_rng(3).permutation(40)[:ROWS].astype("int32")
NAMES = {"hard_negatives": {"wrong": "text"}, "hard_negative_ids": {"wrong_id": "wrong"}}


def data(count=2, ids=IDS):
    """Pairs with `count` hard negatives each, of which the first is the row's own text."""
    x = pairs(ROWS)
    sources = np.stack([(np.arange(ROWS) + step) % ROWS for step in range(count)], axis=1)
    return {**x, "wrong": x["text"][sources], "wrong_id": ids[sources]}


def trainer(**kwargs):
    model = ContrastiveTrainer(towers(), **{**NAMES, **kwargs})
    model.compile(keras.optimizers.SGD(0.1), InfoNCE(0.2), **COMPILE_LEAST)
    return model


def expected_loss(model, x, ids, present=None):
    """The loss of one batch, in which an anchor's own text is no negative."""
    embed = {
        name: lambda array, tower=tower: ops.convert_to_numpy(tower(array))
        for name, tower in model.encoders.items()
    }
    views = {name: embed[name](np.nan_to_num(x[name])) for name in embed}
    has_text = np.ones(ROWS, bool) if present is None else present
    wrong, wrong_ids = x["wrong"][has_text], x["wrong_id"][has_text]
    wrong = embed["text"](wrong.reshape(-1, 5)), wrong_ids.reshape(-1)
    present = None if present is None else {"text": has_text}
    loss = InfoNCE(0.2)(ids, views, hard_negatives={"text": wrong}, present=present)
    return float(ops.convert_to_numpy(loss))


def test_an_anchor_leaves_out_hard_negatives_with_its_id():
    model, x = trainer(), data()
    found = model.evaluate(x, IDS, verbose=0)
    assert found == pytest.approx(expected_loss(model, x, IDS), rel=1e-5)
    without = ContrastiveTrainer(model.encoders, hard_negatives={"wrong": "text"})
    without.compile("sgd", InfoNCE(0.2), **COMPILE_LEAST)
    assert without.evaluate(x, IDS, verbose=0) > found + 1e-3
    # Row numbers are the ids if there is no `y`.
    x["wrong_id"] = data(ids=np.arange(ROWS))["wrong_id"]
    assert model.evaluate(x, verbose=0) == pytest.approx(found, rel=1e-5)
    history = model.fit(x, validation_data=(x,), verbose=0, batch_size=ROWS).history
    assert history["loss"][0] == pytest.approx(found, rel=1e-5)
    assert np.isfinite(history["val_loss"][0])


def test_rows_of_an_evaluation_are_other_items_than_those_in_a_queue():
    model = ContrastiveTrainer(towers(), **NAMES)
    model.compile(keras.optimizers.SGD(0.0), InfoNCE(0.2, memory=EmbeddingQueue(ROWS, 4)))
    x = data(ids=np.arange(ROWS))
    model.fit(x, batch_size=ROWS, verbose=0)  # stores the rows 0 to 11 in the queue
    expected = model.evaluate(
        {**x, "wrong_id": x["wrong_id"] + 100}, 100 + np.arange(ROWS), verbose=0
    )
    assert model.evaluate(x, np.arange(ROWS), verbose=0) < expected - 0.01
    assert model.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)
    history = model.fit(x, batch_size=ROWS, validation_data=(x,), verbose=0).history
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_one_for_each_row_may_have_a_column_or_not():
    x, model = data(1), trainer()
    expected = expected_loss(model, x, IDS)
    for wrong in (x["wrong"], x["wrong"][:, 0]):
        for wrong_id in (x["wrong_id"], x["wrong_id"][:, 0], x["wrong_id"].astype("uint8")):
            found = model.test_on_batch({**x, "wrong": wrong, "wrong_id": wrong_id}, IDS)
            assert float(found) == pytest.approx(expected, rel=1e-5)


def test_those_of_absent_rows_do_not_exist():
    x, has_text = data(), np.arange(ROWS) % 3 > 0
    x["text"][~has_text] = x["wrong"][~has_text] = np.nan
    model = trainer(present={"has_text": "text"})
    found = model.evaluate({**x, "has_text": has_text}, IDS, verbose=0)
    assert found == pytest.approx(expected_loss(model, x, IDS, has_text), rel=1e-5)


def test_micro_batches_and_a_saved_trainer_train_alike(tmp_path):
    x = data()
    model = trainer()
    model(pairs(1))
    model.save(tmp_path / "model.keras")
    losses = [
        each.fit(x, IDS, batch_size=6, epochs=2, shuffle=False, verbose=0).history["loss"]
        for each in (
            model,
            keras.models.load_model(tmp_path / "model.keras"),
            trainer(micro_batch_size=4),
        )
    ]
    assert losses[0][1] < losses[0][0]
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=1e-5)
    assert set(model.predict(pairs(4), verbose=0)) == {"image", "text"}


@pytest.mark.parametrize("kind", DATA_KINDS)
def test_data_sets_need_the_ids_of_the_rows(kind):
    x = data()
    model = trainer()
    found = model.evaluate(DATA_KINDS[kind]((x, IDS), 6), verbose=0)
    assert found == pytest.approx(model.evaluate(x, IDS, batch_size=6, verbose=0), rel=1e-5)
    with pytest.raises(ValueError, match="ids of its items, since hard negatives have ids"):
        model.evaluate(DATA_KINDS[kind](x, 6), verbose=0)
    wrong = {**x, "wrong_id": x["wrong_id"] - 1000}
    with pytest.raises(ValueError, match=r"`wrong_id` must (be|hold ids) in \[0, 2"):
        model.evaluate(DATA_KINDS[kind]((wrong, IDS), 6), verbose=0)


def test_mined_rows_are_hard_negatives_and_their_own_ids():
    x, model = pairs(ROWS), trainer()
    embedded = model.predict(x, verbose=0)
    rows = mine_hard_negatives(embedded["image"], embedded["text"], num_negatives=3, skip=0)
    x = {**x, "wrong": x["text"][rows], "wrong_id": rows}
    expected = expected_loss(model, x, np.arange(ROWS))
    assert model.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)


WRONG = {
    "float": ({"wrong_id": np.ones((ROWS, 2))}, TypeError, "`wrong_id` must hold integer ids"),
    "strings": ({"wrong_id": np.full((ROWS, 2), "a")}, TypeError, "Map keys to integers"),
    "negative": ({"wrong_id": np.full((ROWS, 2), -1)}, ValueError, "`wrong_id` must be in"),
    "large": ({"wrong_id": np.full((ROWS, 2), 2**31)}, ValueError, "`wrong_id` must be in"),
    "one for two": ({"wrong_id": np.arange(ROWS)}, ValueError, "which has 2 for each row"),
    "three for two": ({"wrong_id": np.ones((ROWS, 3), int)}, ValueError, "has 2 for each row"),
    "rank": ({"wrong": np.ones((ROWS, 1, 2, 5))}, ValueError, "`wrong` must have the shape of"),
    "low rank": ({"wrong": np.ones(ROWS)}, ValueError, "`wrong` must have the shape of `text`"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_data_is_refused(name):
    change, error, message = WRONG[name]
    x, model = {**data(), **change}, trainer()
    for door in (model.fit, model.evaluate):
        with pytest.raises(error, match=message):
            door(x, IDS, verbose=0)
    with pytest.raises(error, match=message):
        model.train_on_batch(x, IDS)
    with pytest.raises(ValueError, match=r"since hard negatives have ids\. Received: y=None"):
        model.train_on_batch(data())


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (["wrong_id"], TypeError, "`hard_negative_ids` must be a dict"),
        ({"wrong_id": "text"}, ValueError, "to names of `hard_negatives`"),
        ({"a": "wrong", "b": "wrong"}, ValueError, "has ids from one input"),
        ({"text": "wrong"}, ValueError, "must have names of new inputs"),
    ],
)
def test_wrong_names_are_refused(ids, error, message):
    with pytest.raises(error, match=message):
        ContrastiveTrainer(towers(), hard_negatives={"wrong": "text"}, hard_negative_ids=ids)
