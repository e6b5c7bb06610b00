"""The terms of the fusion trainer's loss, their weights, and the rows and tokens that count.

Most tests evaluate one shared model, since an evaluation changes no state.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer, losses
from keras_contrastive.encoders import PatchTower
from keras_contrastive.fusion import (
    FusionEncoder,
    FusionTrainer,
    ImageTextMatching,
    MaskedLanguage,
)
from keras_contrastive.layers import EmbeddingQueue, LearnableTemperature
from keras_contrastive.metrics import RecallAtK
from tests.helpers.backend import COMPILE_LEAST, to_numpy
from tests.helpers.fusion_trainers import (
    DIM,
    ROWS,
    data,
    fusion_trainer,
    masked_language,
    teacher,
    towers,
)

TERMS = {"contrast", "matching", "masked_language"}
WEIGHTS = {"contrast": 0.5, "matching": 2.0, "masked_language": 0.3}


def weighted(**weights):
    return {
        "contrast_weight": weights["contrast"],
        "matching": ImageTextMatching(weights["matching"], seed=7),
        "masked_language": masked_language(weight=weights["masked_language"]),
    }


@pytest.fixture(scope="module")
def model():
    return fusion_trainer(**weighted(**WEIGHTS))


def evaluate(model, x=None, y=None, **kwargs):
    model.reset_metrics()
    logs = model.test_on_batch(x or data(), y, return_dict=True, **kwargs)
    return {name: float(value) for name, value in logs.items()}


def step(model, x=None, y=None, **kwargs):
    model.reset_metrics()
    return model.train_on_batch(x or data(), y, return_dict=True, **kwargs)


def unit(x):
    x = to_numpy(x).astype("float64")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.slow_to_compile
def test_loss_is_the_weighted_sum_of_its_terms(model):
    logs = evaluate(model)
    assert set(logs) == {"loss", "matching_accuracy", *TERMS}
    assert logs["loss"] == pytest.approx(sum(WEIGHTS[t] * logs[t] for t in TERMS), rel=1e-5)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("off", sorted(TERMS))
def test_weight_zero_switches_a_term_off(off, model):
    logs, expected = evaluate(fusion_trainer(**weighted(**WEIGHTS | {off: 0.0}))), evaluate(model)
    assert TERMS & set(logs) == TERMS - {off}
    assert logs["loss"] == pytest.approx(sum(WEIGHTS[t] * logs[t] for t in TERMS - {off}), rel=1e-5)
    for term in TERMS - {off}:
        assert logs[term] == pytest.approx(expected[term], rel=1e-5)


def test_contrast_without_teacher_is_that_of_the_base_class():
    model, x = fusion_trainer(teacher=None, matching=None, masked_language=None), data()
    embeddings = {name: to_numpy(rows) for name, rows in model(x).items()}
    plain = ContrastiveTrainer({name: keras.layers.Identity() for name in embeddings})
    plain.compile("sgd", losses.InfoNCE(0.2), run_eagerly=True)
    assert evaluate(model)["contrast"] == pytest.approx(
        plain.evaluate(embeddings, batch_size=ROWS, verbose=0), rel=1e-5
    )


def test_matching_compares_pairs_with_the_drawn_negatives(model):
    x = data()
    ids = (np.arange(ROWS) % (ROWS - 4)).astype("int32")
    vectors = {
        name: ops.convert_to_tensor(unit(rows).astype("float32")) for name, rows in model(x).items()
    }
    keys, rows = ops.convert_to_tensor(ids), np.arange(ROWS)
    drawn = []
    for direction, (a, b) in enumerate((("image", "text"), ("text", "image"))):
        scaled = vectors[a] * 5.0  # 1 / temperature
        positions = ops.arange(ROWS, dtype="int32")
        numbers, _ = model.matching.draw(
            scaled, vectors[b], keys, keys, positions, direction, training=False
        )
        drawn.append(to_numpy(numbers))
    assert all((ids[numbers] != ids).all() for numbers in drawn)
    pair_losses, correct = [], []
    for texts, images in [(rows, rows), (drawn[0], rows), (rows, drawn[1])]:
        mask = x["text"][texts] > 0
        tokens = {
            "text": model.encoders["text"](x["text"][texts]),
            "image": model.encoders["image"](x["image"][images]),
        }
        fused = to_numpy(model.fusion({**tokens, "text_mask": mask}))
        logits = to_numpy(model.matching(fused[:, 0])).astype("float64")
        margin = (logits[:, 1] - logits[:, 0]) * (1 if texts is images else -1)
        pair_losses.append(np.log1p(np.exp(-margin)))
        correct.append(margin > 0)
    logs = evaluate(model, x, ids)
    assert logs["matching"] == pytest.approx(np.mean(pair_losses), rel=1e-4)
    assert logs["matching_accuracy"] == pytest.approx(np.mean(correct), abs=1e-6)


def test_masked_language_predicts_the_hidden_words(model):
    x = data()
    mask = ops.convert_to_tensor(x["text"] > 0)
    ids = ops.convert_to_tensor(x["text"])
    corrupted, chosen = model.masked_language.corrupt(ids, mask, training=False)
    tokens = {
        "text": model.encoders["text"](corrupted),
        "image": model.encoders["image"](x["image"]),
    }
    chosen = to_numpy(chosen)
    logits = to_numpy(model.masked_language(model.fusion({**tokens, "text_mask": mask})))
    logits = logits.astype("float64")[chosen]
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -log_probabilities[np.arange(chosen.sum()), x["text"][chosen]].mean()
    assert evaluate(model, x)["masked_language"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("order", [("image", "text"), ("text", "image")])
@pytest.mark.parametrize("has_teacher", [True, False])
def test_hard_negatives_use_the_temperature_of_their_direction(order, has_teacher):
    encoders = {name: towers()[name] for name in order}
    model = FusionTrainer(
        encoders, FusionEncoder(1, 2), teacher=teacher(0.9, 0.0) if has_teacher else None
    )
    loss = losses.InfoNCE(LearnableTemperature(0.5, per_direction=True))
    model.compile("sgd", loss)
    loss.temperature.log_scale.assign(np.array([0.3, 0.6]))
    scales = dict(zip(model.direction_weights(), to_numpy(loss.scale()), strict=True))
    suffix = "_augmented" if has_teacher else ""
    for anchors, candidates in (order, order[::-1]):
        expected = scales[anchors, candidates + suffix]
        assert float(to_numpy(model.direction_scale(anchors, candidates))) == expected


def test_texts_can_have_a_mask(model):
    x = data()
    masked = {"token_ids": x["text"], "padding_mask": (x["text"] > 0).astype("int32")}
    assert evaluate(model, {**x, "text": masked}) == pytest.approx(evaluate(model), rel=1e-5)


def test_padding_has_no_influence(model):
    x = data()
    mask = x["text"] > 0
    logs = []
    for filler in (5, 9):
        text = {"token_ids": np.where(mask, x["text"], filler), "padding_mask": mask}
        logs.append(evaluate(model, {**x, "text": text}))
    assert logs[1] == pytest.approx(logs[0], rel=1e-5)


def test_rows_without_text_have_no_influence():
    model = fusion_trainer(present={"has_text": "text"})
    has_text = np.arange(ROWS) % 3 > 0
    x = {**data(), "has_text": has_text}
    other = {**x, "text": np.where(has_text[:, None], x["text"], np.roll(x["text"], 1, axis=0))}
    assert evaluate(model, other) == pytest.approx(evaluate(model, x), rel=1e-5)


def test_sample_weights_weigh_the_rows_of_each_term(model):
    one, zero, half = (
        evaluate(model, sample_weight=np.full(ROWS, weight, "float32"))
        for weight in (1.0, 0.0, 0.5)
    )
    for term in TERMS:
        assert zero[term] == 0
        assert half[term] == pytest.approx(one[term] / 2, rel=1e-5)


@pytest.mark.slow_to_compile
def test_a_step_trains_all_parts_and_an_evaluation_changes_nothing():
    model = fusion_trainer(loss=losses.InfoNCE(0.2, memory=EmbeddingQueue(30, 4)))
    before = [to_numpy(weight).copy() for weight in model.trainable_weights]
    assert np.isfinite(list(step(model).values())).all()
    moved = [
        np.abs(to_numpy(weight) - old).max() > 0
        for weight, old in zip(model.trainable_weights, before, strict=True)
    ]
    # Without other tokens, the bias of the keys has no influence on attention.
    names = [weight.path for weight in model.trainable_weights]
    assert [n for n, m in zip(names, moved, strict=True) if not m and "key" not in n] == []
    parts = [*model.encoders.values(), *model.projectors.values()]
    assert len(model.teacher.averages) == sum(len(part.weights) for part in parts)
    steps = [model.matching.step, model.masked_language.corruption.step, model.teacher.step]
    assert [int(to_numpy(s)) for s in steps] == [1, 1, 1]
    watched = [*model.weights, *steps]
    state = [to_numpy(v).copy() for v in watched]
    assert evaluate(model) == evaluate(model)
    for variable, expected in zip(watched, state, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), expected)


@pytest.mark.slow_to_compile
def test_micro_batches_do_not_change_the_loss():
    results = []
    for size in (None, 10):  # divides neither the batch nor the number of pairs
        model = fusion_trainer(micro_batch_size=size)
        results.append([step(model)["loss"] for _ in range(2)])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4)


# Without dropout, JAX on a CPU cannot compile the attention of Keras in float16.
@pytest.mark.parametrize(
    ("policy", "dropout"),
    [
        ("mixed_float16", 0.05),
        pytest.param("mixed_bfloat16", 0.0, marks=pytest.mark.full),
    ],
)
@pytest.mark.slow_to_compile
def test_mixed_precision(policy, dropout):
    keras.config.set_dtype_policy(policy)
    loss = losses.InfoNCE(0.2, memory=EmbeddingQueue(30, 4))
    model = fusion_trainer(loss=loss, dropout=dropout, compiled_with=COMPILE_LEAST)
    history = model.fit(data(), batch_size=12, epochs=2, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    # The queue fills, so the contrastive loss rises at first.
    assert history["masked_language"][1] < history["masked_language"][0]
    assert all(average.dtype == "float32" for average in model.teacher.averages)


@pytest.mark.slow_to_compile
def test_towers_can_be_frozen_or_convolutional():
    encoders = towers()
    encoders["text"].build()
    encoders["text"].trainable = False
    encoders["image"] = keras.Sequential(
        [keras.Input((4, 4, 2)), keras.layers.Conv2D(6, 2, strides=2)]
    )
    model = fusion_trainer(encoders=encoders, pooling={"image": "mean", "text": "class_token"})
    before = [to_numpy(weight) for weight in encoders["text"].weights]
    assert np.isfinite(step(model)["loss"])
    for weight, expected in zip(encoders["text"].weights, before, strict=True):
        np.testing.assert_array_equal(to_numpy(weight), expected)


@pytest.mark.traced
@pytest.mark.slow_to_compile
def test_training_aligns_towers_and_restores_words():
    optimizer = keras.optimizers.Adam(0.01)
    model = fusion_trainer(loss=losses.InfoNCE(LearnableTemperature(0.2)))
    x = data(64)
    model.compile(optimizer, model.loss, metrics=[RecallAtK(1)])
    history = model.fit(x, batch_size=16, epochs=12, verbose=0).history
    assert history["contrast"][-1] < 0.95 * history["contrast"][0]
    assert history["masked_language"][-1] < 0.7 * history["masked_language"][0]
    scores = model.evaluate(x, batch_size=16, verbose=0, return_dict=True)
    assert set(scores) == {"loss", "matching_accuracy", "recall_at_1", *TERMS}
    assert set(history) == {*scores, "temperature"}
    shapes = {name: rows.shape for name, rows in model.predict(x, verbose=0).items()}
    assert shapes == dict.fromkeys(x, (64, 4))


@pytest.mark.traced
@pytest.mark.full
def test_training_tells_pairs_from_hard_negatives():
    encoders = towers(dim=32, num_heads=4, hidden_dim=None)
    encoders["image"] = PatchTower(2, 32, num_layers=1, num_heads=4)
    model = FusionTrainer(
        encoders,
        FusionEncoder(2, 4),
        matching=ImageTextMatching(seed=1),
        pooling="class_token",
    )
    model.compile(keras.optimizers.Adam(0.002), losses.InfoNCE(0.3))
    history = model.fit(data(1024), batch_size=32, epochs=10, verbose=0).history
    # Always answering "no match" gives 2 / 3.
    assert history["matching_accuracy"][-1] > 0.72


ERRORS = [
    ({"teacher": 0.99}, TypeError, "`teacher` must be `None` or a"),
    (
        {"teacher": teacher(), "augmenters": {"image": keras.layers.Identity()}},
        ValueError,
        "`augmenters` must be empty if there is a `teacher`",
    ),
    ({"contrast_weight": -1.0}, ValueError, "`contrast_weight` must be a non-negative"),
    ({"contrast_weight": 0.0, "matching": None}, ValueError, "`contrast_weight` must be positive"),
    ({"matching": 0.5}, TypeError, "`matching` must be"),
    ({"pooling": "max"}, ValueError, "`pooling` must be"),
    ({"pooling": {"sound": "mean"}}, ValueError, "`pooling` must"),
    ({"masked_language": 0.15}, TypeError, "MaskedLanguage"),
    ({"padding_id": 5}, ValueError, "padding_id=5"),
    ({"masked_language": MaskedLanguage(16, 3, padding_id=4)}, ValueError, "`?masked_language"),
    ({"encoders": PatchTower(2)}, (TypeError, ValueError), "`encoders` must be a dict"),
    (
        {"encoders": {"image": PatchTower(2), "sound": PatchTower(2)}},
        ValueError,
        "`encoders` must .*sound",
    ),
    ({"fusion": None}, TypeError, "FusionEncoder"),
    ({"predictors": keras.layers.Identity()}, ValueError, "`predictors` must be `None`"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), ERRORS)
def test_wrong_arguments_raise(arguments, error, message):
    defaults = {"encoders": towers(), "fusion": FusionEncoder(1, 2)}
    with pytest.raises(error, match=message):
        FusionTrainer(**defaults | arguments)


# Keras warns about the state that the error leaves unbuilt.
@pytest.mark.filterwarnings("ignore:Layer .* looks like it has unbuilt state")
@pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer")
def test_towers_must_return_tokens():
    layers = [keras.layers.Flatten(), keras.layers.Dense(DIM)]
    pooled = {**towers(), "image": keras.Sequential(layers)}
    with pytest.raises(ValueError, match="tokens"):
        FusionTrainer(pooled, FusionEncoder(1, 2))(data())
