"""What the trainer adds up, term by term, and what it leaves alone."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import losses
from keras_contrastive.encoders import PatchTower
from keras_contrastive.fusion import FusionEncoder, FusionTrainer, MaskedLanguage
from keras_contrastive.layers import (
    BrownianBridge,
    DeepFeatureSeparation,
    EmbeddingQueue,
    GeometricConsistency,
    LearnableTemperature,
)
from keras_contrastive.metrics import RecallAtK
from tests.helpers.backend import COMPILE_LEAST, to_numpy, value_and_gradients
from tests.helpers.fusion_trainers import DIM, ROWS, data, fusion_trainer, towers
from tests.reference.fusion import soft_contrast

TERMS = {"contrast", "matching", "masked_language"}


def step(model, x=None, y=None, **kwargs):
    model.reset_metrics()
    return model.train_on_batch(x or data(), y, return_dict=True, **kwargs)


def still(**kwargs):
    return fusion_trainer(optimizer=keras.optimizers.SGD(0.0), **kwargs)


def weights(model):
    return [to_numpy(weight) for weight in model.trainable_weights]


def unit(x):
    x = to_numpy(x).astype("float64")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def slow_embeddings(model, x):
    with model._momentum_weights.in_place():
        return {name: to_numpy(rows) for name, rows in model(x).items()}


def test_it_learns_to_align_and_to_restore():
    model = fusion_trainer(
        optimizer=keras.optimizers.Adam(0.01), loss=losses.InfoNCE(LearnableTemperature(0.2))
    )
    x = data(64)
    model.compile(model.optimizer, model.loss, metrics=[RecallAtK(1)])
    history = model.fit(x, batch_size=16, epochs=12, verbose=0).history
    assert set(history) == {"loss", *TERMS, "matching_accuracy", "recall_at_1"}
    assert history["contrast"][-1] < 0.95 * history["contrast"][0]
    assert history["masked_language"][-1] < 0.7 * history["masked_language"][0]
    scores = model.evaluate(x, batch_size=16, verbose=0, return_dict=True)
    assert set(scores) == set(history)
    assert {
        name: rows.shape for name, rows in model.predict(x, verbose=0).items()
    } == dict.fromkeys(x, (64, 4))


def test_it_learns_to_tell_pairs_from_hard_negatives():
    encoders = towers(dim=32, num_heads=4, hidden_dim=None)
    encoders["image"] = PatchTower(2, 32, num_layers=1, num_heads=4)
    model = FusionTrainer(encoders, FusionEncoder(2, 4), pooling="class_token", seed=1)
    model.compile(keras.optimizers.Adam(0.002), losses.InfoNCE(0.3))
    history = model.fit(data(1024), batch_size=32, epochs=10, verbose=0).history
    assert (
        history["matching_accuracy"][-1] > 0.72
    )  # where saying "no" each time is right in two of three pairs


def test_the_loss_is_the_weighted_sum_of_its_terms():
    model = still(contrast_weight=0.5, matching_weight=2.0, masked_language_weight=0.3)
    logs = step(model)
    expected = 0.5 * logs["contrast"] + 2.0 * logs["matching"] + 0.3 * logs["masked_language"]
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("off", sorted(TERMS))
def test_a_weight_of_zero_switches_a_term_off(off):
    logs, every = step(still(**{f"{off}_weight": 0.0})), step(still())
    assert TERMS & set(logs) == TERMS - {off}
    assert logs["loss"] == pytest.approx(sum(logs[term] for term in TERMS - {off}), rel=1e-5)
    for term in TERMS - {off}:
        assert logs[term] == pytest.approx(every[term], rel=1e-5)


def test_the_contrast_is_albefs():
    queue = EmbeddingQueue(40, 4)
    model = fusion_trainer(loss=losses.InfoNCE(0.2, memory=queue), soft_target_steps=4)
    x, remembered = data(), np.zeros((0, 2, 4))
    for number in range(3):
        before = {name: unit(rows) for name, rows in model.predict(x, verbose=0).items()}
        logs = step(model, x)
        slow = {name: unit(rows) for name, rows in slow_embeddings(model, x).items()}
        common = np.arange(ROWS), np.full(len(remembered), -1), 0.4 * number / 4, 0.2
        directions = [
            soft_contrast(before[a], slow[a], slow[b], common[0], remembered[:, place], *common[1:])
            for place, (a, b) in enumerate((("image", "text"), ("text", "image")))
        ]
        assert logs["contrast"] == pytest.approx(np.mean(directions), rel=1e-4)
        remembered = np.concatenate([remembered, np.stack([slow["text"], slow["image"]], axis=1)])[
            -40:
        ]


def test_the_queue_holds_the_slow_embeddings_of_the_last_batches_in_order():
    queue = EmbeddingQueue(30, 4)
    model = fusion_trainer(loss=losses.InfoNCE(0.2, memory=queue), compiled_with=COMPILE_LEAST)
    pushed = []
    for number in range(3):
        x, ids = data(12, seed=number), np.arange(12 * number, 12 * number + 12, dtype="int32")
        step(model, x, ids)
        pushed += list(
            zip(
                ids,
                *(unit(slow_embeddings(model, x)[name]) for name in ("image", "text")),
                strict=True,
            )
        )
    held = to_numpy(queue.ids)
    assert sorted(held) == list(range(6, 36))  # thirty rows: the oldest six are gone
    for place, (number, image, text) in enumerate(pushed[6:], start=6):
        assert held[place % 30] == number == place
        np.testing.assert_allclose(
            to_numpy(queue.embeddings)[place % 30, 2:], [image, text], atol=1e-5
        )


def test_slow_weights_are_the_closed_form_of_the_weights_of_each_step():
    model = fusion_trainer(momentum=0.8)
    followed, seen = model._momentum_weights._followed.weights, []
    for _ in range(4):
        seen.append([to_numpy(weight).astype("float64") for weight in followed])
        step(model)
    assert len(followed) == len([weight for layer in model._followed() for weight in layer.weights])
    for place, average in enumerate(model._momentum_weights.averages):
        expected = 0.8**3 * seen[0][place] + sum(
            0.2 * 0.8 ** (3 - k) * seen[k][place] for k in (1, 2, 3)
        )
        np.testing.assert_allclose(to_numpy(average), expected, atol=1e-5)
    assert (
        max(np.abs(seen[0][place] - seen[3][place]).max() for place in range(len(followed))) > 1e-3
    )


def test_an_evaluation_moves_no_slow_weight_and_remembers_nothing():
    model = fusion_trainer(loss=losses.InfoNCE(0.2, memory=EmbeddingQueue(30, 4)))
    step(model)
    steps = [model.matching.step, model.masked_language.corruption.step]
    watched = [*model._momentum_weights.weights, *model.loss.memory.weights, *steps]
    state = [to_numpy(v) for v in watched]
    scores = [model.evaluate(data(), verbose=0, return_dict=True) for _ in range(2)]
    assert scores[0] == scores[1]
    for found, expected in zip(watched, state, strict=True):
        np.testing.assert_array_equal(to_numpy(found), expected)


@pytest.mark.parametrize("order", [("image", "text"), ("text", "image")])
@pytest.mark.parametrize("momentum", [None, 0.9])
def test_hard_negatives_are_drawn_at_the_temperature_of_their_direction(order, momentum):
    temperature = LearnableTemperature(0.5, per_direction=True)
    encoders = {name: towers()[name] for name in order}
    model = fusion_trainer(
        encoders, losses.InfoNCE(temperature), momentum=momentum, soft_targets=0.0
    )
    step(model)
    directions = list(model._directions(model.loss))
    scales = to_numpy(model.loss.scale())
    assert abs(scales[0] - scales[1]) > 1e-5
    for anchors, candidates in (order, order[::-1]):
        expected = [
            scale
            for (a, b), scale in zip(directions, scales, strict=True)
            if (order[a], order[b % 2]) == (anchors, candidates)
        ]
        assert [float(model._scale_of(anchors, candidates))] == expected


def test_matching_compares_pairs_with_the_drawn_negatives():
    model, x = still(momentum=None, soft_targets=0.0), data()
    ids = (np.arange(ROWS) % (ROWS - 4)).astype("int32")
    vectors = {
        name: ops.convert_to_tensor(unit(rows).astype("float32")) for name, rows in model(x).items()
    }
    rows, keys = np.arange(ROWS), ops.convert_to_tensor(ids)
    drawn = [
        to_numpy(
            model.matching.draw(
                vectors[a] * 5.0, vectors[b], keys, keys, ops.arange(ROWS, dtype="int32"), d
            )[0]
        )
        for d, (a, b) in enumerate((("image", "text"), ("text", "image")))
    ]
    assert all((ids[numbers] != ids).all() for numbers in drawn)
    pairs = [(rows, rows), (drawn[0], rows), (rows, drawn[1])]
    losses_of_pairs, right = [], []
    for texts, images in pairs:
        mask = x["text"][texts] > 0
        tokens = {
            "text": model.encoders["text"](x["text"][texts]),
            "image": model.encoders["image"](x["image"][images]),
        }
        fused = to_numpy(model.fusion({**tokens, "text_mask": mask}))
        logits = to_numpy(model.matching(fused[:, 0])).astype("float64")
        margin = (logits[:, 1] - logits[:, 0]) * (1 if texts is images else -1)
        losses_of_pairs.append(np.log1p(np.exp(-margin)))
        right.append(margin > 0)
    logs = step(model, x, ids)
    assert logs["matching"] == pytest.approx(np.mean(losses_of_pairs), rel=1e-4)
    assert logs["matching_accuracy"] == pytest.approx(np.mean(right), abs=1e-6)


def test_masked_language_guesses_the_chosen_words_from_text_and_image():
    model, x = still(momentum=None, soft_targets=0.0), data()
    corruption = model.masked_language.corruption
    ids, chosen = corruption._corrupted(
        ops.convert_to_tensor(x["text"]), corruption.next_keys(ROWS)
    )
    corruption.step.assign(0)
    ids, chosen = to_numpy(ids), to_numpy(chosen)
    tokens = {"text": model.encoders["text"](ids), "image": model.encoders["image"](x["image"])}
    fused = model.fusion({**tokens, "text_mask": ops.convert_to_tensor(x["text"] > 0)})
    logits = to_numpy(model.masked_language(fused)).astype("float64")[chosen]
    log_shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -log_shares[np.arange(chosen.sum()), x["text"][chosen]].mean()
    assert step(model, x)["masked_language"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "loss",
    [
        losses.GammaContrastive(num_items=ROWS, temperature=0.2, seed=1),
        losses.NTXent(0.2),
        losses.SigmoidContrastive(LearnableTemperature(0.2)),
        losses.DecoupledContrastive(0.2, memory=EmbeddingQueue(20, 4)),
    ],
    ids=lambda loss: loss.name,
)
@pytest.mark.parametrize("momentum", [None, 0.9])
def test_any_loss_may_be_the_contrast(loss, momentum):
    loss = type(loss).from_config(loss.get_config())
    optimizer = keras.optimizers.SGD(0.02)
    model = fusion_trainer(loss=loss, momentum=momentum, soft_targets=0.0, optimizer=optimizer)
    ids = np.arange(ROWS, dtype="int32")
    values = [step(model, data(), ids)["contrast"] for _ in range(6)]
    assert np.isfinite(values).all()
    assert values[-1] < values[0]


def regularizers():
    return [
        DeepFeatureSeparation(weight=0.1),
        BrownianBridge(modalities="image", weight=0.1),
        GeometricConsistency(weight=0.1),
    ]


def test_regularizers_see_the_slow_views_as_the_augmented_ones(rng):
    model = still(regularizers=regularizers(), soft_targets=0.0)
    step(model)  # after which slow and trained weights may differ
    for weight in model.encoders["image"].trainable_weights:
        weight.assign(weight + rng.normal(size=weight.shape, scale=0.2))
    x = data()
    logs = step(model, x)
    views = {name: to_numpy(rows) for name, rows in model(x).items()}
    slow = {
        f"{name}_augmented": rows
        for name, rows in slow_embeddings(model, x).items()
        if "independent" not in name
    }
    seen = {name: ops.convert_to_tensor(rows) for name, rows in {**views, **slow}.items()}
    assert logs["brownian_bridge"] == pytest.approx(
        float(model.regularizers[1].penalty(seen)), rel=1e-4
    )
    assert logs["geometric_consistency"] == pytest.approx(
        float(model.regularizers[2].penalty(seen)), rel=1e-4
    )
    assert np.abs(slow["image_augmented"] - views["image"]).max() > 1e-3


@keras.saving.register_keras_serializable(package="tests")
class OfSlowViews(DeepFeatureSeparation):
    """A penalty of nothing but the slow sides."""

    def terms(self, modalities, ids=None, training=None):
        parts = [part for m in modalities for part in (m.augmented, m.independent_augmented)]
        return dict.fromkeys(self.term_weights, ops.sum(ops.square(ops.concatenate(parts) - 1.0)))


def test_no_gradient_reaches_the_slow_side_of_a_regularizer():
    tiny = {"contrast_weight": 0.0, "matching_weight": 1e-30, "masked_language": None}
    model = fusion_trainer(regularizers=[OfSlowViews(name="slow")], soft_targets=0.0, **tiny)
    before = weights(model)
    assert step(model)["slow"] > 1
    for found, expected in zip(weights(model), before, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-20)


def test_a_weight_of_the_contrast_in_one_modality_is_with_its_own_slow_view():
    model = still(in_modal_weight=1.0, soft_targets=0.0, momentum=0.9)
    assert set(model._directions(model.loss)) == {(0, 2), (1, 3)}
    x = data()
    own = {name: ops.convert_to_tensor(rows) for name, rows in model.predict(x, verbose=0).items()}
    expected = np.mean(
        [float(losses.InfoNCE(0.2, symmetric=False)(None, (view, view))) for view in own.values()]
    )
    assert step(model, x)["contrast"] == pytest.approx(expected, rel=1e-4)


def test_without_momentum_it_is_the_base_class_with_two_losses_more():
    from keras_contrastive import ContrastiveTrainer

    model, x = still(momentum=None, soft_targets=0.0), data()
    logs = step(model, x)
    embedded = {name: to_numpy(rows) for name, rows in model(x).items()}
    plain = ContrastiveTrainer({name: keras.layers.Identity() for name in embedded})
    plain.compile("sgd", losses.InfoNCE(0.2))
    assert logs["contrast"] == pytest.approx(
        plain.evaluate(embedded, batch_size=ROWS, verbose=0), rel=1e-5
    )


def test_texts_may_come_with_a_mask_of_their_own():
    x = data()
    given = {**x, "text": {"token_ids": x["text"], "padding_mask": (x["text"] > 0).astype("int32")}}
    expected, found = step(still()), step(still(), given)
    for term, value in expected.items():
        assert found[term] == pytest.approx(value, rel=1e-5), term


def test_what_padding_holds_is_of_no_consequence():
    x = data()
    mask = x["text"] > 0
    texts = [np.where(mask, x["text"], filler) for filler in (5, 9)]
    found = [
        step(still(), {**x, "text": {"token_ids": text, "padding_mask": mask}}) for text in texts
    ]
    for term, value in found[0].items():
        assert found[1][term] == pytest.approx(value, rel=1e-5), term


def test_rows_that_lack_a_text_are_neither_matched_nor_masked():
    there = np.arange(ROWS) % 3 > 0
    x = {**data(), "has_text": there}
    other = {**x, "text": np.where(there[:, None], x["text"], np.roll(x["text"], 1, axis=0))}
    results = []
    for batch in (x, other):
        model = still(
            present={"has_text": "text"}, loss=losses.InfoNCE(0.2, memory=EmbeddingQueue(30, 4))
        )
        results.append([step(model, batch), step(model, batch)])
    for first, second in zip(*results, strict=True):
        for term, value in first.items():
            assert second[term] == pytest.approx(value, rel=1e-5), term


def test_sample_weights_weigh_the_rows_of_each_term():
    everything, nothing, half = (
        step(still(), sample_weight=np.full(ROWS, weight, "float32")) for weight in (1.0, 0.0, 0.5)
    )
    for term in TERMS:
        assert nothing[term] == 0
        assert half[term] == pytest.approx(everything[term] / 2, rel=1e-5)


def test_micro_batches_change_nothing_but_the_memory():
    results = []
    for size in (None, 5):  # which divides neither the batch nor the pairs
        model = fusion_trainer(micro_batch_size=size, compiled_with={"run_eagerly": False})
        results.append([step(model)["loss"] for _ in range(3)])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4)


# Without any dropout JAX cannot compile Keras' attention in float16 for a processor.
@pytest.mark.parametrize(("policy", "dropout"), [("mixed_float16", 0.05), ("mixed_bfloat16", 0.0)])
def test_mixed_precision(policy, dropout):
    keras.config.set_dtype_policy(policy)
    loss = losses.InfoNCE(0.2, memory=EmbeddingQueue(30, 4))
    model = fusion_trainer(
        loss=loss, dropout=dropout, regularizers=regularizers(), compiled_with=COMPILE_LEAST
    )
    history = model.fit(data(), batch_size=12, epochs=3, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    assert history["loss"][-1] < history["loss"][0]
    assert all(average.dtype == "float32" for average in model._momentum_weights.averages)


def test_frozen_towers_and_a_convolutional_one():
    encoders = towers()
    encoders["text"].build()
    encoders["text"].trainable = False
    encoders["image"] = keras.Sequential(
        [keras.Input((4, 4, 2)), keras.layers.Conv2D(6, 2, strides=2)]
    )
    model = fusion_trainer(encoders=encoders, pooling={"image": "mean", "text": "class_token"})
    before = [to_numpy(weight) for weight in encoders["text"].weights]
    assert np.isfinite(step(model)["loss"])
    for found, expected in zip(encoders["text"].weights, before, strict=True):
        np.testing.assert_array_equal(to_numpy(found), expected)


def test_no_gradient_of_the_matching_reaches_who_is_drawn():
    model = fusion_trainer(momentum=None, soft_targets=0.0)
    x = {name: ops.convert_to_tensor(rows) for name, rows in data().items()}

    def similarities(image):
        embedded = model({"image": image, "text": x["text"]})
        numbers, _ = model.matching.draw(
            embedded["image"],
            embedded["text"],
            ops.arange(ROWS),
            ops.arange(ROWS),
            ops.arange(ROWS),
        )
        return ops.sum(embedded["image"]) * 0.0 + ops.sum(ops.cast(numbers, "float32"))

    _, (gradient,) = value_and_gradients(similarities, data()["image"])
    assert np.abs(gradient).max() == 0


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"momentum": None}, ValueError, "pass `momentum` as well"),
        ({"momentum": 1.0}, ValueError, "share of the old average"),
        ({"soft_targets": 1.5}, ValueError, "must be in"),
        ({"soft_target_steps": -1}, ValueError, "number of steps"),
        (
            {"augmenters": {"image": keras.layers.Identity()}},
            ValueError,
            "cannot go together with `momentum`",
        ),
        ({"hard_negatives": {"wrong": "text"}}, ValueError, "cannot go together with `momentum`"),
        ({"contrast_weight": -1.0}, ValueError, "non-negative"),
        (
            {"contrast_weight": 0.0, "matching_weight": 0.0, "masked_language_weight": 0.0},
            ValueError,
            "nothing would",
        ),
        ({"pooling": "max"}, ValueError, "`pooling` must be one of"),
        ({"pooling": {"sound": "mean"}}, ValueError, "`pooling` must be one of"),
        ({"masked_language": 0.15}, TypeError, "MaskedLanguage"),
        (
            {"padding_id": 5},
            ValueError,
            "must be the same in the model and in.*padding_id=5 in the model, 0 in",
        ),
        (
            {"masked_language": MaskedLanguage(16, 3, padding_id=4)},
            ValueError,
            "must be the same in the model and in `masked_language`",
        ),
        ({"loss": losses.NTXent(0.2)}, ValueError, "which the loss `InfoNCE` is"),
        ({"loss": "mse"}, TypeError, "must be a contrastive loss"),
    ],
)
def test_what_it_refuses(kwargs, error, message):
    if "loss" in kwargs and kwargs["loss"] == "mse":
        kwargs = {**kwargs, "soft_targets": 0.0}
    with pytest.raises(error, match=message):
        fusion_trainer(**kwargs)


def test_towers_that_are_no_pair_or_pool():
    fusion = FusionEncoder(1, 2)
    with pytest.raises(ValueError, match="dict of two towers"):
        FusionTrainer(towers()["image"], fusion)
    with pytest.raises(ValueError, match="Received: image, sound"):
        FusionTrainer({"image": PatchTower(2), "sound": PatchTower(2)}, fusion)
    with pytest.raises(TypeError, match="FusionEncoder"):
        FusionTrainer(towers(), None)
    pooled = {
        **towers(),
        "image": keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(DIM)]),
    }
    with pytest.raises(ValueError, match="tower of image must yield tokens"):
        FusionTrainer(pooled, fusion)(data())
