"""Models saved on one backend continue on every other with the same numbers.

`make_trainer_fixtures.py` wrote the files.
"""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive._portable import portable_optimizer
from keras_contrastive.losses import InfoNCE
from tests.helpers.towers import pairs, towers
from tests.saving.make_trainer_fixtures import ROWS, curve, facts, losses, trained
from tests.saving.releases import RELEASES, SAVED, folder_of, saved_file

KIND = "trainer"


@pytest.fixture(scope="module")
def curves():
    return json.loads((folder_of(RELEASES[-1], KIND) / "curves.json").read_text())


@pytest.mark.traced
@pytest.mark.parametrize("name", losses())
@pytest.mark.every_case
def test_curve_equals_that_of_every_backend(name, curves):
    result = curve(losses()[name])
    assert len(result["losses"]) == 20
    np.testing.assert_allclose(result["losses"], curves[name]["losses"], atol=1e-4)
    assert result["size"] == pytest.approx(curves[name]["size"], abs=1e-3)


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.every_case
def test_model_saved_on_any_backend_predicts_the_same(saved):
    expected = json.loads(saved_file(saved, KIND, "from_{}.json").read_text())
    result = facts(keras.models.load_model(saved_file(saved, KIND, "from_{}.keras")))
    for name, rows in expected["predictions"].items():
        np.testing.assert_allclose(result["predictions"][name], rows, atol=1e-5)
    np.testing.assert_allclose(result["log_rates"], expected["log_rates"], atol=1e-6)
    np.testing.assert_allclose(result["queue"], expected["queue"], atol=1e-6)
    assert result["queue_ids"] == expected["queue_ids"]
    assert sorted(result["queue_ids"]) == list(
        range(14, 24)
    )  # the last ten rows of three batches of eight
    assert result["scale"] == pytest.approx(expected["scale"], rel=1e-6)
    assert result["iterations"] == expected["iterations"] == 3


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("name", ["from", "mixed_from"])
def test_model_saved_on_any_backend_trains(name, saved):
    model = keras.models.load_model(saved_file(saved, KIND, f"{name}_{{}}.keras"))
    before = model.get_weights()[0]
    history = model.fit(pairs(ROWS), batch_size=8, shuffle=False, verbose=0).history
    assert set(history) == {"loss", "recall_at_1", "directions", "temperature"}
    assert np.isfinite(history["loss"]).all()
    assert np.abs(model.get_weights()[0] - before).max() > 0
    assert int(ops.convert_to_numpy(model.loss.state.step)) == 6


def test_further_training_does_not_depend_on_the_saving_backend():
    results = []
    for saved in SAVED:
        model = keras.models.load_model(saved_file(saved, KIND, "from_{}.keras"))
        results.append(
            model.fit(pairs(ROWS), batch_size=8, shuffle=False, verbose=0).history["loss"][0]
        )
    assert np.ptp(results) < 1e-3


@pytest.mark.parametrize("saved", SAVED)
def test_loss_scaling_and_precision_are_restored(saved):
    model = keras.models.load_model(saved_file(saved, KIND, "mixed_from_{}.keras"))
    assert model.dtype_policy.name == "mixed_float16"
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) > 0


def saved_config(model, folder):
    model.save(folder / "model.keras")
    with zipfile.ZipFile(folder / "model.keras") as archive:
        return archive.read("config.json").decode()


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_saved_config_does_not_name_a_backend(policy, tmp_path):
    config = saved_config(trained(policy), tmp_path)
    compiled = json.loads(config)["compile_config"]
    assert compiled["optimizer"]["module"] == "keras.optimizers"
    assert compiled["jit_compile"] == "auto"
    assert "keras.src" not in config


def test_inner_optimizer_has_its_public_name(tmp_path):
    model = ContrastiveTrainer(towers())
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)), InfoNCE())
    model(pairs())
    config = saved_config(model, tmp_path)
    inner = json.loads(config)["compile_config"]["optimizer"]["config"]["inner_optimizer"]
    assert (inner["module"], inner["class_name"]) == ("keras.optimizers", "Adam")
    assert "keras.src" not in config


def test_custom_optimizer_keeps_its_name():
    config = {
        "module": "my.optimizers",
        "class_name": "Adam",
        "config": {},
        "registered_name": "mine>Adam",
    }
    assert portable_optimizer(config) == config
