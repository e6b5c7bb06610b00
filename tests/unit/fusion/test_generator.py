"""`AnswerGenerator`: trained with teacher forcing, writes the most likely words."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.fusion import AnswerCrossentropy, AnswerGenerator, FusionEncoder
from tests.helpers.backend import COMPILE_LEAST, compiled, to_numpy
from tests.helpers.fusion_tasks import ANSWER_LENGTH, decoder, generator, questions
from tests.helpers.fusion_trainers import towers

X, _, ANSWERS = questions()


@pytest.fixture(scope="module")
def model():
    model = generator()
    model.compile("sgd", run_eagerly=True)
    return model


@pytest.mark.traced
@pytest.mark.slow_to_compile
def test_generator_learns_and_writes_answers_that_need_both_inputs():
    x, _, answers = questions(128)
    model = generator()
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(
        {**x, "answer": answers}, batch_size=32, epochs=20, shuffle=False, verbose=0
    ).history["loss"]
    # The first word decides between yes and no. The other words follow from it.
    assert losses[-1] < 0.1 < np.log(2) < losses[0]
    x, _, answers = questions(64, seed=9)
    written = model.predict(x, batch_size=32, verbose=0)
    assert (written == answers).all(axis=1).mean() > 0.9


@pytest.mark.slow_to_compile
def test_logits_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    # Without dropout, JAX cannot compile the attention of Keras in float16 for a CPU.
    model = generator(dropout=0.05)
    call = compiled(lambda text: model({**X, "text": text, "answer": ANSWERS}))
    logits = call(ops.convert_to_tensor(X["text"]))
    assert model.decoder.compute_dtype == "float16"
    assert to_numpy(logits).dtype == "float32"
    assert np.isfinite(to_numpy(AnswerCrossentropy()(ANSWERS[:, 1:], logits)))


@pytest.mark.full
def test_generator_is_trained_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    model = generator(dropout=0.05)
    model.compile("sgd", **COMPILE_LEAST)
    history = model.fit({**X, "answer": ANSWERS}, batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_from_pretrained_copies_towers_and_builds_the_decoder(model):
    copy = AnswerGenerator.from_pretrained(model, decoder(num_layers=1))
    assert copy.decoder.built
    copy.decoder.load_blocks(copy.fusion)
    for name, tower in model.encoders.items():
        assert copy.encoders[name] is not tower
        for weight, source in zip(copy.encoders[name].weights, tower.weights, strict=True):
            np.testing.assert_array_equal(to_numpy(weight), to_numpy(source))


ERRORS = {
    "long answer": (
        lambda model: model({**X, "answer": np.pad(ANSWERS, ((0, 0), (0, 1)))}),
        f"of 2 to {ANSWER_LENGTH} tokens",
    ),
    "short answer": (
        lambda model: model({**X, "answer": ANSWERS[:, :1]}),
        f"of 2 to {ANSWER_LENGTH} tokens",
    ),
    "answer without a batch": (
        lambda model: model({**X, "answer": ANSWERS[0]}),
        f"of 2 to {ANSWER_LENGTH} tokens",
    ),
    "targets": (
        lambda model: model.fit({**X, "answer": ANSWERS}, ANSWERS, verbose=0),
        "`y` must be `None`",
    ),
    "no answer": (
        lambda model: model.fit(X, verbose=0),
        '`x` must be a dict with an "answer".*Received: image, text',
    ),
}


@pytest.mark.parametrize(("call", "message"), ERRORS.values(), ids=ERRORS)
def test_wrong_calls_raise(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_decoder_must_be_an_answer_decoder():
    with pytest.raises(TypeError, match=r"`decoder` must be a `keras_contrastive\.fusion\.Answer"):
        AnswerGenerator(towers(), FusionEncoder(1, 2), FusionEncoder(1, 2))
