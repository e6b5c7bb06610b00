"""Several replicas compute the same as one device."""

import concurrent.futures

import keras
import numpy as np
import pytest

from tests.distributed.cases import CASES
from tests.helpers.replicas import run_replicas

pytestmark = pytest.mark.every_case

# Replicas sum in another order, in float32. bfloat16 rounds the rows of a product differently for
# other numbers of rows. Evaluation shows differences that several steps have amplified.
TOLERANCE = {
    "float32": {"step": 1e-5, "gradient": 1e-4, "evaluate": 5e-4},
    "mixed_bfloat16": {"step": 1e-3, "gradient": 2e-2},
}
# More layers amplify more, and `fit` logs several steps. The bias of the keys of an attention has a
# gradient of rounding errors.
TOLERANCE_OF_TRANSFORMERS = {"step": 1e-5, "gradient": 1e-3, "fit": 5e-3, "evaluate": 1e-2}
CORE = tuple(name for name, case in CASES.items() if case.core)
FULL = tuple(name for name, case in CASES.items() if not case.core)
MORE_REPLICAS = tuple(name for name, case in CASES.items() if case.more_replicas)
# Tracing these takes minutes on JAX and TensorFlow.
LEFT_TO_RELEASE = {
    2: (
        *("circle", "class_balanced", "fusion_in_micro_batches", "gamma_temperature"),
        *("item_temperature", "matryoshka", "per_direction", "summed"),
        *("tiled_gamma", "tiled_guided", "tiled_sup_con", "tiled_triplet"),
    ),
    4: ("barlow_twins", "few_left", "gamma", "queue", "sigmoid", "triplet", "vicreg"),
}


def train(tmp_path_factory, runs):
    """Trains cases and returns the folders of the results. All runs go side by side.

    Args:
        tmp_path_factory: The fixture of pytest.
        runs: Dict from a number of replicas to names of cases.
    """
    folders = {count: tmp_path_factory.mktemp(f"replicas_{count}") for count in runs}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        started = [
            pool.submit(
                run_replicas, count, "tests.distributed.worker", folders[count], count, *names
            )
            for count, names in runs.items()
        ]
    for run in started:
        run.result()
    return folders


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    return train(tmp_path_factory, {1: CORE, 2: CORE})


@pytest.fixture(scope="module")
def full(request, tmp_path_factory):
    """Trains the cases of the selected tests."""
    names = {2: [], 4: []}
    for item in request.session.items:
        if "full" in getattr(item, "fixturenames", ()):
            names[item.callspec.params["count"]].append(item.callspec.params["name"])
    names[1] = list(dict.fromkeys(names[2] + names[4]))
    return train(tmp_path_factory, {count: some for count, some in names.items() if some})


def assert_same(folders, count, name):
    alone, together = (np.load(folders[number] / f"{name}.npz") for number in (1, count))
    assert set(together.files) == set(alone.files)
    assert sum(key.startswith("gradient/") for key in alone.files) >= 4
    transformer = name.startswith("fusion")
    tolerance = TOLERANCE_OF_TRANSFORMERS if transformer else TOLERANCE[CASES[name].policy]
    for key in alone.files:
        expected, result = alone[key], together[key]
        limit = tolerance.get(key.partition("/")[0], tolerance["gradient"])
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(result), finite, err_msg=key)
        # A bias before a standardization has a gradient of rounding errors.
        scale = max(np.abs(expected[finite]).max(initial=0.0), 1e-2)
        np.testing.assert_allclose(
            result[finite], expected[finite], rtol=0, atol=limit * scale, err_msg=key
        )


@pytest.mark.parametrize("name", CORE)
def test_two_replicas_compute_the_same_as_one_device(core, name):
    assert_same(core, 2, name)


def further_cases():
    for count, names in {2: FULL, 4: MORE_REPLICAS}.items():
        for name in names:
            is_left = name in LEFT_TO_RELEASE[count] and keras.backend.backend() != "torch"
            yield pytest.param(count, name, marks=[pytest.mark.release] * is_left)


@pytest.mark.full
@pytest.mark.parametrize(("count", "name"), list(further_cases()))
def test_further_variants_and_more_replicas_compute_the_same_as_one_device(full, count, name):
    assert_same(full, count, name)


def test_the_loss_of_the_first_case_decreases(core):
    losses = np.load(core[1] / "info_nce.npz")["fit/loss"]
    assert losses[-1] < losses[0]
