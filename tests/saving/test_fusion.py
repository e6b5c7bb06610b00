"""Fusion models are saved, resumed, and loaded on other backends.

`make_fusion_fixtures.py` wrote the files.
"""

import json

import keras
import numpy as np
import pytest

from keras_contrastive.fusion import FusionTrainer
from tests.helpers.backend import to_numpy
from tests.helpers.fusion_trainers import data, fusion_trainer, towers
from tests.resume.test_resume import CutError, assert_same, cut_after, state
from tests.saving.make_fusion_fixtures import BATCH, curve, facts, trained, whole
from tests.saving.releases import RELEASES, SAVED, folder_of, saved_file

KIND = "fusion"


def train(model, callbacks=(), epochs=4, **kwargs):
    model.fit(
        data(), batch_size=BATCH, epochs=epochs, verbose=0, callbacks=list(callbacks), **kwargs
    )
    return state(model)


def seeded():
    keras.utils.set_random_seed(7)
    return whole(optimizer=keras.optimizers.Adam(0.01), dropout=0.2, run_eagerly=True)


@pytest.mark.slow_to_compile
def test_ten_steps_equal_those_of_every_backend():
    expected = json.loads((folder_of(RELEASES[-1], KIND) / "curve.json").read_text())
    found = curve()
    assert set(found) == set(expected)
    assert len(found["loss"]) == 10
    for name, values in expected.items():
        # The backends sum float32 in different orders and differ by 8e-7 after ten steps. One other
        # draw changes a term by 0.01 or more.
        np.testing.assert_allclose(found[name], values, rtol=2e-5, atol=2e-5, err_msg=name)


@pytest.mark.slow_to_compile
def test_loaded_model_equals_the_saved_one(tmp_path):
    model = trained()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is FusionTrainer
    assert loaded.get_config() == FusionTrainer.from_config(loaded.get_config()).get_config()
    for name in ("contrast_weight", "pooling", "padding_id"):
        assert getattr(loaded, name) == getattr(model, name), name
    for name in ("teacher", "matching", "masked_language"):
        assert getattr(loaded, name).get_config() == getattr(model, name).get_config(), name
    assert_same(state(loaded), state(model))
    assert facts(loaded) == facts(model)


@pytest.mark.parametrize("saved", SAVED)
def test_model_saved_on_any_backend_predicts_the_same_and_trains(saved):
    expected = json.loads(saved_file(saved, KIND, "from_{}.json").read_text())
    model = keras.saving.load_model(saved_file(saved, KIND, "from_{}.keras"))
    found = facts(model)
    assert found["steps"] == expected["steps"] == [3, 3, 3, 3]
    assert found["queue_ids"] == expected["queue_ids"]
    np.testing.assert_allclose(found["queue"], expected["queue"], atol=1e-5)
    np.testing.assert_allclose(found["slow"], expected["slow"], rtol=1e-5)
    for name, rows in expected["predictions"].items():
        np.testing.assert_allclose(found["predictions"][name], rows, atol=1e-4)
    before = to_numpy(model.teacher.averages[0])
    losses = model.fit(
        data(), np.arange(24), batch_size=BATCH, shuffle=False, epochs=3, verbose=0
    ).history["loss"]
    assert losses[-1] < losses[0]
    assert np.abs(to_numpy(model.teacher.averages[0]) - before).max() > 0


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("frozen_first", [pytest.param(False, marks=pytest.mark.full), True])
def test_tower_can_be_frozen_or_unfrozen_between_fits(tmp_path, frozen_first):
    encoders = towers()
    encoders["text"].trainable = not frozen_first
    model = fusion_trainer(encoders)
    model.fit(data(), batch_size=8, verbose=0)
    encoders["text"].trainable = frozen_first
    model.compile(keras.optimizers.SGD(0.1), model.loss, run_eagerly=True)
    model.fit(data(), batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.encoders["text"].trainable == frozen_first
    for found, expected in zip(again.teacher.averages, model.teacher.averages, strict=True):
        np.testing.assert_array_equal(to_numpy(found), to_numpy(expected))
    if frozen_first:  # the averages lag behind the weights that are trained now
        pairs = zip(model.teacher.averages, model.teacher.followed_weights, strict=True)
        gaps = [
            np.abs(to_numpy(average) - to_numpy(weight)).max()
            for average, weight in pairs
            if "text" in weight.path
        ]
        assert max(gaps) > 1e-4


@pytest.mark.full
def test_saved_model_continues_its_draws(tmp_path):
    expected = train(seeded())
    model = seeded()
    train(model, epochs=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    keras.utils.set_random_seed(99)  # has no influence
    assert_same(train(loaded, initial_epoch=2), expected)


@pytest.mark.full
def test_interrupted_run_equals_uninterrupted_run(tmp_path):
    def backup(name):
        return keras.callbacks.BackupAndRestore(tmp_path / name, save_freq=2)

    expected = train(seeded(), [backup("whole")])
    with pytest.raises(CutError):
        train(seeded(), [backup("cut"), cut_after(2, 1)])
    assert_same(train(seeded(), [backup("cut")]), expected)
