"""Log-weights of candidates as inputs of the trainer."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.extend import Candidates
from keras_contrastive.layers import EmbeddingQueue, MomentumTeacher
from keras_contrastive.losses import InfoNCE, SigmoidContrastive
from tests.helpers.backend import COMPILE_LEAST, DATA_KINDS
from tests.helpers.towers import pairs, towers

ROWS = 12
NAMES = {
    "hard_negatives": {"wrong": "text", "other": "text"},
    "log_weights": {"log_weight": "text", "log_weight_of_wrong": "wrong"},
}


def data(rng=None):
    rng = np.random.default_rng(3) if rng is None else rng
    x = pairs(ROWS)
    wrong = np.stack([np.roll(x["text"], step, axis=0) for step in (1, 2)], axis=1)
    return {
        **x,
        "wrong": wrong,
        "other": np.roll(x["text"], 3, axis=0),
        "log_weight": rng.normal(size=ROWS),
        "log_weight_of_wrong": rng.normal(size=(ROWS, 2)),
    }


def trainer(loss=None, **kwargs):
    model = ContrastiveTrainer(towers(), **{**NAMES, **kwargs})
    model.compile(keras.optimizers.SGD(0.1), loss or InfoNCE(0.2), **COMPILE_LEAST)
    return model


def expected_loss(model, x):
    embed = {
        name: lambda array, tower=tower: ops.convert_to_numpy(tower(array))
        for name, tower in model.encoders.items()
    }
    views = {name: embed[name](x[name]) for name in embed}
    hard = np.concatenate([x["wrong"].reshape(-1, 5), x["other"]])
    weights = np.concatenate([x["log_weight_of_wrong"].reshape(-1), np.zeros(ROWS)])
    hard = Candidates(embed["text"](hard), log_weights=weights)
    loss = InfoNCE(0.2)(
        None, views, hard_negatives={"text": hard}, log_weights={"text": x["log_weight"]}
    )
    return float(ops.convert_to_numpy(loss))


def test_rows_and_hard_negatives_have_the_log_weights_of_their_inputs():
    model, x = trainer(), data()
    expected = expected_loss(model, x)
    found = model.evaluate(x, batch_size=ROWS, verbose=0)
    assert found == pytest.approx(expected, rel=1e-5)
    plain = {**x, "log_weight": np.zeros((ROWS, 1), int)}
    assert abs(model.evaluate(plain, batch_size=ROWS, verbose=0) - found) > 1e-2
    assert set(model.predict(pairs(4), verbose=0)) == {"image", "text"}


@pytest.mark.slow_to_compile
def test_micro_batches_and_a_saved_trainer_train_alike(tmp_path):
    x, model = data(), trainer()
    model(pairs(1))
    model.save(tmp_path / "model.keras")
    losses = [
        each.fit(x, batch_size=6, epochs=2, shuffle=False, verbose=0).history["loss"]
        for each in (
            model,
            keras.models.load_model(tmp_path / "model.keras"),
            trainer(micro_batch_size=4),
        )
    ]
    assert losses[0][1] < losses[0][0]
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=1e-5)


@pytest.mark.slow_to_compile
def test_second_views_have_those_of_their_modality():
    x = {**pairs(ROWS), "log_weight": data()["log_weight"]}
    model = ContrastiveTrainer(
        {"text": towers()["text"]},
        augmenters={"text": keras.layers.Identity()},
        log_weights={"log_weight": "text"},
    )
    model.compile("sgd", InfoNCE(0.2), **COMPILE_LEAST)
    text = ops.convert_to_numpy(model.encoders["text"](x["text"]))
    weights = {0: x["log_weight"], 1: x["log_weight"]}
    expected = float(InfoNCE(0.2)(None, (text, text), log_weights=weights))
    del x["image"]
    found = model.evaluate(x, batch_size=ROWS, verbose=0)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("kind", DATA_KINDS)
def test_data_sets_are_checked(kind):
    x, model = data(), trainer()
    found = model.evaluate(DATA_KINDS[kind]((x, np.arange(ROWS)), 6), verbose=0)
    assert found == pytest.approx(model.evaluate(x, batch_size=6, verbose=0), rel=1e-5)


@pytest.mark.slow_to_compile
def test_those_of_absent_rows_have_no_influence():
    x, has_text = data(), np.arange(ROWS) % 3 > 0
    model, found = trainer(present={"has_text": "text"}), []
    model(pairs(1))
    start = model.get_weights()
    for placeholder in (np.nan, 5.0):
        for name in ("log_weight", "log_weight_of_wrong"):
            x[name][~has_text] = placeholder
        model.set_weights(start)
        history = model.fit({**x, "has_text": has_text}, batch_size=ROWS, epochs=2, verbose=0)
        found.append(history.history["loss"])
    assert np.all(np.isfinite(found))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    x["log_weight_of_wrong"][has_text, 1] = np.nan
    with pytest.raises(ValueError, match="`log_weight_of_wrong` must be finite"):
        model.evaluate({**x, "has_text": has_text}, batch_size=ROWS, verbose=0)


WRONG = {
    "shape": (np.zeros((ROWS, 2)), ValueError, "`log_weight` must have one log-weight for each"),
    "strings": (np.array(["a"] * ROWS), TypeError, "`log_weight` must hold log-weights"),
    "infinite": (np.full(ROWS, -np.inf), ValueError, "`log_weight` must be finite"),
}


@pytest.mark.parametrize(("values", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_values_raise_on_the_host(values, error, message):
    with pytest.raises(error, match=message):
        trainer().fit({**data(), "log_weight": values}, verbose=0)


def test_extra_inputs_have_names_of_their_own():
    with pytest.raises(ValueError, match=r"names of new inputs. Received: 'w'.*`log_weights`"):
        ContrastiveTrainer(towers(), log_weights={"w": "text"}, present={"w": "text"})


def test_wrong_names_and_losses_raise():
    for names, message in (
        ({"log_weight": "sound"}, "It needs the names image, text, wrong, other"),
        ({"a": "text", "b": "text"}, "has log-weights from one input"),
        ({"text": "image"}, "must have names of new inputs"),
    ):
        with pytest.raises(ValueError, match=message):
            trainer(log_weights=names)
    with pytest.raises(TypeError, match="must be a dict from names of inputs"):
        trainer(log_weights="log_weight")
    with pytest.raises(ValueError, match="`log_weights` must be `None` for this loss"):
        trainer(SigmoidContrastive())
    queue = EmbeddingQueue(20, 4, batch_share=0.5)
    model = ContrastiveTrainer(towers(), teacher=MomentumTeacher(0.9, soft_targets=0.4))
    with pytest.raises(ValueError, match="log-weights"):
        model.compile("sgd", InfoNCE(memory=queue))
    model = ContrastiveTrainer(
        towers(), predictors=keras.layers.Dense(4), log_weights={"log_weight": "text"}
    )
    with pytest.raises(ValueError, match="`predictors` must be `None` if there are `log_weights`"):
        model.compile("sgd", InfoNCE())
