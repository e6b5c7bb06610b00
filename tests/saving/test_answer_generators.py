"""Answer generators saved on any backend work here. `make_fusion_fixtures.py` wrote the files."""

import functools
import json

import keras
import numpy as np
import pytest

from tests.helpers.backend import to_numpy
from tests.helpers.fusion_tasks import ANSWER_LENGTH, questions, reference_logits
from tests.helpers.fusion_trainers import CLS, SEP
from tests.saving.make_fusion_fixtures import answerer_facts
from tests.saving.releases import RELEASES, SAVED, saved_file

KIND = "fusion"
NEWEST = f"{RELEASES[-1]}-torch"


@functools.cache
def saved_generator(saved):
    return keras.saving.load_model(saved_file(saved, KIND, "answers_from_{}.keras"))


def greedy_answer(layer, context, mask):
    """The most likely word at each position, computed in float64 NumPy."""
    ids = [CLS]
    while len(ids) < ANSWER_LENGTH and ids[-1] != SEP:
        ids.append(int(reference_logits(layer, np.array(ids), context, mask)[-1].argmax()))
    return ids + [0] * (ANSWER_LENGTH - len(ids))


@pytest.mark.slow_to_compile
def test_predict_writes_the_most_likely_words_until_the_end():
    model = saved_generator(NEWEST)
    x, _, answers = questions(12, seed=1)
    written = model.predict(x, verbose=0)
    tokens, mask = map(to_numpy, model.fuse(x))
    rows = zip(tokens, mask, strict=True)
    expected = [greedy_answer(model.decoder, row, row_mask) for row, row_mask in rows]
    assert written.dtype == np.int32
    assert len({tuple(row) for row in expected}) == 2
    np.testing.assert_array_equal(written, expected)
    # Teacher forcing and writing agree on the share of right answers.
    results = model.evaluate({**x, "answer": answers}, verbose=0, return_dict=True)
    share = (written == answers).all(axis=1).mean()
    assert results["answer_accuracy"] == pytest.approx(share, abs=1e-6)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("saved", SAVED)
def test_generator_of_any_backend_writes_the_same(saved):
    expected = json.loads(saved_file(saved, KIND, "answers_from_{}.json").read_text())
    facts = answerer_facts(saved_generator(saved))
    assert facts["written"] == expected["written"]
    assert facts["loss"] == pytest.approx(expected["loss"], abs=1e-4)


@pytest.mark.full
@pytest.mark.parametrize("saved", SAVED)
def test_generator_of_any_backend_continues_training(saved):
    model = keras.saving.load_model(saved_file(saved, KIND, "answers_from_{}.keras"))
    before = answerer_facts(model)["loss"]
    x, _, answers = questions(12, seed=1)
    model.fit({**x, "answer": answers}, verbose=0)
    assert answerer_facts(model)["loss"] != before
