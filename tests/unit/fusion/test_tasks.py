"""Models of tasks: what they read, what they write, and that they begin where others ended."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive._tokens import masked_mean
from keras_contrastive.fusion import (
    AnswerAccuracy,
    AnswerCrossentropy,
    AnswerGenerator,
    FusionClassifier,
    FusionEncoder,
    FusionTrainer,
)
from tests.helpers.backend import to_numpy, value_and_gradients
from tests.helpers.fusion_tasks import ANSWER_LENGTH, classifier, decoder, generator, questions
from tests.helpers.fusion_trainers import CLS, DIM, SEP, VOCABULARY, fusion_trainer, towers
from tests.helpers.towers import settle
from tests.reference import transformer
from tests.saving.make_fusion_fixtures import FOLDER, answerer_facts

CONTEXT_DIM = 6


def in_float64(layer):
    """The weights by name, without the layer's own."""
    names = {weight.path.partition(f"{layer.name}/")[2]: weight for weight in layer.weights}
    return {name: to_numpy(weight).astype("float64") for name, weight in names.items()}


def built_decoder(**kwargs):
    layer = decoder(**kwargs)
    layer.build((None, None), (None, None, CONTEXT_DIM))
    return settle(layer, 3)


def decoded(layer, ids, context, context_mask):
    """One answer through the decoder, in float64 NumPy."""
    weights = in_float64(layer)
    tokens = weights["tokens/embeddings"][ids] + weights["positions"][: len(ids)]
    tokens = transformer.norm(weights, "norm", tokens, 1e-12)
    before = np.tril(np.ones((len(ids), len(ids)), bool))
    for block in layer.blocks:
        tokens = transformer.block(in_float64(block), tokens, before, context, context_mask)
    hidden = transformer.gelu(
        tokens @ weights["logits/hidden/kernel"] + weights["logits/hidden/bias"]
    )
    hidden = transformer.norm(weights, "logits/norm", hidden, 1e-12)
    logits = hidden @ weights["logits/words/kernel"] + weights["logits/words/bias"]
    logits[:, [0, CLS]] = -np.inf
    return logits


def test_the_decoder_equals_its_transcription(rng):
    layer = built_decoder()
    ids = rng.integers(4, VOCABULARY, (3, ANSWER_LENGTH)).astype("int32")
    context = rng.normal(size=(3, 5, CONTEXT_DIM)).astype("float32")
    mask = np.arange(5) < np.array([[5], [2], [1]])
    found = to_numpy(layer(ids, context, mask))
    for row in range(3):
        expected = decoded(layer, ids[row], context[row].astype("float64"), mask[row])
        np.testing.assert_allclose(found[row], expected, atol=2e-5)


def test_no_place_of_an_answer_is_told_what_comes_after_it(rng):
    layer, context = built_decoder(), rng.normal(size=(1, 5, CONTEXT_DIM)).astype("float32")
    ids = np.array([[CLS, 9, 10, 11]], "int32")
    before = to_numpy(layer(ids, context))[0]
    after = to_numpy(layer(np.array([[CLS, 9, 14, 5]], "int32"), context))[0]
    np.testing.assert_array_equal(after[:2], before[:2])
    assert (after[2] != before[2]).any()


def written_one_by_one(layer, context, mask):
    """The likeliest word each time, by the transcription."""
    ids = [CLS]
    while len(ids) < ANSWER_LENGTH and ids[-1] != SEP:
        ids.append(int(decoded(layer, np.array(ids), context, mask)[-1].argmax()))
    return ids + [0] * (ANSWER_LENGTH - len(ids))


def test_predict_writes_the_likeliest_word_each_time_until_the_end():
    model = keras.saving.load_model(FOLDER / "answers_from_torch.keras")
    x, _, _ = questions(6, seed=1)
    found = model.predict(x, batch_size=4, verbose=0)
    tokens, mask = map(to_numpy, model.fuse(x))
    expected = [
        written_one_by_one(model.decoder, row.astype("float64"), there)
        for row, there in zip(tokens, mask, strict=True)
    ]
    assert found.dtype == np.int32
    assert len({tuple(row) for row in expected}) == 2
    np.testing.assert_array_equal(found, expected)


def test_the_loss_of_an_answer_is_the_sum_over_its_words(rng):
    logits = rng.normal(size=(3, 4, 6)).astype("float32")
    logits[:, :, 0] = -np.inf  # as the decoder has it for padding
    ids = np.array([[3, 5, 2, 0], [2, 0, 0, 0], [4, 4, 1, 2]])
    shares = np.exp(logits.astype("float64"))
    shares /= shares.sum(axis=-1, keepdims=True)
    expected = [
        -sum(np.log(shares[row, t, i]) for t, i in enumerate(ids[row]) if i) for row in range(3)
    ]
    np.testing.assert_allclose(
        to_numpy(AnswerCrossentropy(reduction="none")(ids, logits)), expected, rtol=1e-5
    )
    weights = np.array([1.0, 0.0, 2.0])
    found, (gradient,) = value_and_gradients(
        lambda z: AnswerCrossentropy()(ids, z, sample_weight=weights), logits
    )
    assert float(found) == pytest.approx((expected[0] + 2 * expected[2]) / 3, rel=1e-5)
    truth = np.zeros_like(shares)
    for row, t in zip(*np.nonzero(ids), strict=True):
        truth[row, t] = (shares[row, t] - np.eye(6)[ids[row, t]]) * weights[row] / 3
    np.testing.assert_allclose(gradient, truth, atol=1e-6)


def test_an_answer_is_right_if_every_word_is():
    logits = np.log(np.eye(5)[[[3, 2, 4], [3, 2, 4], [3, 4, 2]]] + 0.01)
    metric = AnswerAccuracy()
    metric.update_state(np.array([[3, 2, 0], [4, 2, 0], [3, 4, 2]]), logits)
    assert float(metric.result()) == pytest.approx(2 / 3)
    metric.reset_state()
    metric.update_state(
        np.array([[3, 2, 0], [4, 2, 0], [3, 4, 2]]), logits, sample_weight=np.array([1.0, 3.0, 0.0])
    )
    assert float(metric.result()) == pytest.approx(1 / 4)
    metric.reset_state()
    metric.update_state(np.array([[3, 2, 0], [4, 2, 0], [0, 0, 0]]), logits)  # the last has none
    assert float(metric.result()) == pytest.approx(1 / 2)


def test_a_generator_learns_what_neither_text_nor_picture_tells_and_writes_it():
    x, _, answers = questions(128)
    model = generator()
    model.compile(keras.optimizers.Adam(0.005))
    losses = model.fit(
        {**x, "answer": answers}, batch_size=32, epochs=25, shuffle=False, verbose=0
    ).history["loss"]
    assert (
        losses[-1] < 0.1 < np.log(2) < losses[0]
    )  # a yes or a no, after which the other words say nothing more
    # What is right word by word is what is written.
    y, _, expected = questions(64, seed=9)
    written = (model.predict(y, verbose=0) == expected).all(axis=1).mean()
    found = model.evaluate({**y, "answer": expected}, verbose=0, return_dict=True)
    assert found["answer_accuracy"] == pytest.approx(written, abs=1e-6)
    assert written > 0.9


@pytest.mark.parametrize("in_turn", [True, False])
def test_a_classifier_of_two_pictures_learns_what_neither_tells_after_another_task(in_turn):
    x, labels, _ = questions(128, num_images=2)
    first = classifier(num_classes=3, num_images=2, in_turn=in_turn)
    model = FusionClassifier.from_pretrained(first, num_classes=2, pooling="class_token")
    assert (model.num_images, model.pooling, first.pooling) == (2, "class_token", "mean")
    model.compile(keras.optimizers.Adam(0.005), metrics=["accuracy"])
    model.fit(x, labels, batch_size=32, epochs=15, shuffle=False, verbose=0)
    y, truth, _ = questions(64, seed=9, num_images=2)
    assert model.evaluate(y, truth, verbose=0, return_dict=True)["accuracy"] > 0.9
    assert model.predict(y, verbose=0).shape == (64, 2)


@pytest.mark.parametrize("num_images", [1, 2])
def test_a_task_begins_with_copies(num_images):
    trainer = fusion_trainer()
    model = FusionClassifier.from_pretrained(
        trainer, 3, fusion=trainer.fusion.for_images(num_images)
    )
    before = [to_numpy(weight).copy() for weight in trainer.weights]
    assert model.pooling == trainer.pooling == "class_token"
    assert len(model.fusion.blocks) == num_images
    for name, tower in trainer.encoders.items():
        assert model.encoders[name] is not tower
        for own, theirs in zip(model.encoders[name].weights, tower.weights, strict=True):
            np.testing.assert_array_equal(to_numpy(own), to_numpy(theirs))
    for block in model.fusion.blocks:
        for own, theirs in zip(block.weights, trainer.fusion.blocks[0].weights, strict=True):
            np.testing.assert_array_equal(to_numpy(own), to_numpy(theirs))
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    x, labels, _ = questions(8, num_images=num_images)
    model.fit(x, labels, verbose=0)
    assert (
        np.abs(
            to_numpy(model.fusion.blocks[0].weights[0]) - to_numpy(trainer.fusion.weights[0])
        ).max()
        > 0
    )
    for weight, old in zip(trainer.weights, before, strict=True):
        np.testing.assert_array_equal(to_numpy(weight), old)


def frozen_model():
    """Its text tower is frozen, and of the rest one block."""
    model = classifier()
    model.encoders["text"].trainable = False
    model.fusion.blocks[0].trainable = False
    return model


def test_what_is_frozen_stays_so_in_copies(tmp_path):
    model = frozen_model()
    copy = FusionClassifier.from_pretrained(model, 2)
    copy(questions(1)[0])
    assert len(copy.trainable_weights) == len(model.trainable_weights) < len(model.weights)
    assert not any("text_tower" in weight.path for weight in copy.trainable_weights)
    assert not any(
        weight.trainable for block in copy.fusion.for_images(2).blocks for weight in block.weights
    )
    model.fusion.trainable = False
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    x, labels, _ = questions(8)
    model.fit(x, labels, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    frozen = [*loaded.encoders["text"].weights, *loaded.fusion.weights]
    before = [to_numpy(weight).copy() for weight in frozen]
    loaded.fit(x, labels, verbose=0)
    for weight, old in zip(frozen, before, strict=True):
        np.testing.assert_array_equal(to_numpy(weight), old)


def test_a_task_takes_over_what_is_not_given():
    model = classifier(num_images=2, in_turn=False, hidden_dim=6, dropout=0.5)
    copy = FusionClassifier.from_pretrained(model, 3)
    assert (copy.num_classes, copy.num_images, copy.hidden_dim, copy.dropout) == (3, 2, 6, 0.5)
    assert (
        FusionClassifier.from_pretrained(model, 3, 1, dropout=0.0).get_config()["num_images"] == 1
    )
    with pytest.raises(TypeError, match="too many positional"):
        FusionClassifier.from_pretrained(model, 3, 1, "mean", None, 0.0, 0, "name")
    assert (
        FusionClassifier.from_pretrained(model, 3, fusion=model.fusion.for_images(3)).num_images
        == 3
    )


def test_a_tower_that_cannot_be_made_again_is_told_of():
    class Secret(keras.layers.Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, x):
            return self.inner(x)

    model = FusionClassifier({**towers(), "text": Secret(towers()["text"])}, FusionEncoder(1, 2), 2)
    model(questions(1)[0])
    with pytest.raises(ValueError, match="Pass a copy of it yourself"):
        FusionClassifier.from_pretrained(model, 2)
    assert (
        FusionClassifier.from_pretrained(model, 2, encoders={"text": towers()["text"]}).num_classes
        == 2
    )


def test_pictures_of_any_size_may_come_in_pairs():
    grid = keras.Sequential(
        [keras.Input((None, None, 2)), keras.layers.Conv2D(6, 2, 2)], name="grid"
    )
    for in_turn in (True, False):
        fusion = FusionEncoder(1, 2, num_images=2 if in_turn else 1)
        model = FusionClassifier({**towers(), "image": grid}, fusion, 2, num_images=2)
        image, text = keras.Input((2, None, None, 2)), keras.Input((5,), dtype="int32")
        outer = keras.Model([image, text], model({"image": image, "text": text}))
        x, _, _ = questions(3, num_images=2)
        found = outer.predict([x["image"], x["text"]], verbose=0)
        np.testing.assert_allclose(found, to_numpy(model(x)), atol=1e-5)


def test_a_decoder_may_begin_with_the_blocks_of_the_fusion():
    trainer = fusion_trainer()
    model = AnswerGenerator.from_pretrained(trainer, decoder(num_layers=1))
    model.decoder.load_blocks(model.fusion)
    own, theirs = in_float64(model.decoder.blocks[0]), in_float64(trainer.fusion.blocks[0])
    taken = [
        name for name in own if not name.startswith("cross_attention")
    ]  # pictures have another dimension
    assert len(taken) > 10
    for name in taken:
        np.testing.assert_array_equal(own[name], theirs[name])
    two = AnswerGenerator(towers(), model.fusion.for_images(2), decoder(num_layers=1))
    two.decoder.load_blocks(two.fusion)
    np.testing.assert_array_equal(
        to_numpy(two.decoder.blocks[0].weights[0]), to_numpy(model.decoder.blocks[0].weights[0])
    )
    with pytest.raises(ValueError, match="takes as many"):
        decoder().load_blocks(two.fusion)
    with pytest.raises(ValueError, match="takes as many"):
        decoder(num_layers=1).load_blocks(model.fusion)
    with pytest.raises(ValueError, match=r"`self_attention` have the shapes"):
        built_decoder(num_heads=4, num_layers=1).load_blocks(model.fusion)


def test_each_block_of_a_layer_reads_its_own_picture(rng):
    layer = FusionEncoder(1, 2, hidden_dim=10, num_images=2)
    layer.build({"text": (None, None, DIM), "image": (None, 2, None, CONTEXT_DIM)})
    settle(layer, 1)
    text = rng.normal(size=(2, 3, DIM)).astype("float32")
    image = rng.normal(size=(2, 2, 4, CONTEXT_DIM)).astype("float32")
    seen = np.arange(4) < np.array([[[2], [4]], [[3], [1]]])
    found = to_numpy(layer({"text": text, "image": image, "image_mask": seen}))
    for row in range(2):
        expected = text[row].astype("float64")
        for place, block in enumerate(layer.blocks):
            context = image[row, place].astype("float64")
            expected = transformer.block(
                in_float64(block), expected, np.ones(3, bool), context, seen[row, place]
            )
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
    grid = image.reshape(2, 2, 2, 2, CONTEXT_DIM)
    np.testing.assert_allclose(
        to_numpy(layer({"text": text, "image": grid, "image_mask": seen.reshape(2, 2, 2, 2)})),
        found,
        atol=1e-6,
    )


def test_pictures_that_are_read_by_themselves_are_pooled_side_by_side():
    model, (x, _, _) = classifier(num_images=2, in_turn=False), questions(5, num_images=2)
    one = FusionClassifier.from_pretrained(model, 2, num_images=1)
    pooled = [masked_mean(*one.fuse({**x, "image": x["image"][:, place]})) for place in range(2)]
    expected = model._head(ops.concatenate(pooled, axis=1))
    np.testing.assert_allclose(to_numpy(model(x)), to_numpy(expected), atol=1e-6)


def test_tokens_that_were_computed_once_take_the_place_of_pictures():
    model, (x, _, _) = classifier(num_images=2, in_turn=False), questions(5, num_images=2)
    frozen = FusionClassifier.from_pretrained(model, 2, encoders={"image": keras.layers.Identity()})
    tokens = to_numpy(model.encoders["image"](x["image"].reshape(-1, 4, 4, 2))).reshape(5, 2, 5, -1)
    frozen({"image": tokens, "text": x["text"]})
    frozen._head.set_weights(model._head.get_weights())
    found = to_numpy(frozen({"image": tokens, "text": x["text"]}))
    np.testing.assert_allclose(found, to_numpy(model(x)), atol=1e-5)


def test_the_models_are_saved_and_learn_on(tmp_path):
    x, labels, answers = questions(16)
    for model, data in (
        (classifier(hidden_dim=6, dropout=0.1), (x, labels)),
        (generator(), ({**x, "answer": answers},)),
    ):
        model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
        model.fit(*data, batch_size=8, verbose=0)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert type(loaded) is type(model)
        assert loaded.get_config() == type(model).from_config(loaded.get_config()).get_config()
        np.testing.assert_allclose(
            loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6
        )
        assert int(to_numpy(loaded.optimizer.iterations)) == 2
        expected = model.evaluate(*data, verbose=0, return_dict=True)
        assert loaded.evaluate(*data, verbose=0, return_dict=True) == pytest.approx(
            expected, abs=1e-6
        )
        loaded.fit(*data, batch_size=8, verbose=0)


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_generator_saved_on_any_backend_is_the_same_here_and_learns_on(backend):
    expected = json.loads((FOLDER / f"answers_from_{backend}.json").read_text())
    model = keras.saving.load_model(FOLDER / f"answers_from_{backend}.keras")
    found = answerer_facts(model)
    assert found["written"] == expected["written"]
    assert found["loss"] == pytest.approx(expected["loss"], abs=1e-4)
    x, _, answers = questions(8)
    model.fit({**x, "answer": answers}, verbose=0)
    assert answerer_facts(model)["loss"] != found["loss"]


@pytest.mark.parametrize(
    ("policy", "make"), [("mixed_bfloat16", classifier), ("mixed_float16", generator)]
)
def test_under_mixed_precision_logits_are_float32(policy, make):
    keras.config.set_dtype_policy(policy)
    x, labels, answers = questions(8)
    model = make()
    data = (x, labels) if make is classifier else ({**x, "answer": answers},)
    assert str(to_numpy(model(data[0])).dtype) == "float32"
    model.compile("sgd", run_eagerly=True)
    assert np.isfinite(model.fit(*data, verbose=0).history["loss"]).all()


def test_a_text_with_a_mask_of_its_own_is_read_alike():
    model, (x, _, _) = classifier(), questions(4)
    text = {"token_ids": np.where(x["text"] == 0, 5, x["text"]), "padding_mask": x["text"] > 0}
    np.testing.assert_allclose(to_numpy(model({**x, "text": text})), to_numpy(model(x)), atol=1e-6)


def test_what_the_models_refuse():
    x, _, answers = questions(4)
    model = classifier()
    with pytest.raises(ValueError, match="image is missing"):
        model({"text": x["text"]})
    with pytest.raises(ValueError, match="there are 2 images"):
        classifier(num_images=2)(x)
    for loss in ("sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()):
        with pytest.raises(ValueError, match="This model yields logits"):
            model.compile(loss=loss)
    with pytest.raises(ValueError, match="num_classes"):
        classifier(num_classes=0)
    with pytest.raises(ValueError, match="`pooling` must be one of"):
        classifier(pooling="max")
    with pytest.raises(ValueError, match="encoders"):
        FusionClassifier({"image": towers()["image"]}, FusionEncoder(1, 2), 2)
    with pytest.raises(TypeError, match="AnswerDecoder"):
        AnswerGenerator(towers(), FusionEncoder(1, 2), FusionEncoder(1, 2))
    with pytest.raises(ValueError, match="must be different token ids"):
        decoder(padding_id=CLS)
    writer = generator()
    for wrong in (np.pad(answers, ((0, 0), (0, 1))), answers[0], answers[:, :1]):
        with pytest.raises(ValueError, match=f"of 2 to {ANSWER_LENGTH} tokens"):
            writer({**x, "answer": wrong})
    writer.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match="there is no `y`"):
        writer.fit({**x, "answer": answers}, answers, verbose=0)
    with pytest.raises(TypeError, match="`fusion` must be"):
        FusionClassifier(towers(), keras.layers.Dense(3), 2)
    with pytest.raises(ValueError, match="reads 2 images"):
        FusionTrainer(towers(), FusionEncoder(1, 2, num_images=2))
    layer = FusionEncoder(1, 2, num_images=2)
    with pytest.raises(ValueError, match="of each of the 2 images"):
        layer(
            {
                "text": np.ones((1, 3, 4)),
                "image": np.ones((1, 2, 3, 4)),
                "image_mask": np.ones((1, 3), bool),
            }
        )
    with pytest.raises(ValueError, match='`x` must have an "answer"'):
        writer.fit(x, verbose=0)
    with pytest.raises(TypeError, match="from_pretrained"):
        FusionClassifier.from_pretrained(towers()["text"], 2)
    with pytest.raises(ValueError, match="no weights to begin with"):
        FusionClassifier.from_pretrained(FusionClassifier(towers(), FusionEncoder(1, 2), 2), 2)
    two = classifier(num_images=2)
    with pytest.raises(ValueError, match="one of 2 images"):
        two.fusion.for_images(1)
    with pytest.raises(ValueError, match="encoder reads 2 images"):
        FusionClassifier.from_pretrained(two, 2, num_images=3)
