"""Several replicas compute the same as one device."""

import concurrent.futures

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
TOLERANCE_OF_TRANSFORMERS = {"step": 1e-5, "gradient": 1e-3, "fit": 5e-3, "evaluate": 5e-3}
CORE = tuple(name for name, case in CASES.items() if case.core)
FULL = tuple(name for name, case in CASES.items() if not case.core)
MORE_REPLICAS = tuple(name for name, case in CASES.items() if case.more_replicas)


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
def full(tmp_path_factory):
    alone = tuple(dict.fromkeys((*FULL, *MORE_REPLICAS)))
    return train(tmp_path_factory, {1: alone, 2: FULL, 4: MORE_REPLICAS})


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


@pytest.mark.full
@pytest.mark.parametrize("name", FULL)
def test_two_replicas_compute_the_same_in_further_variants(full, name):
    assert_same(full, 2, name)


@pytest.mark.full
@pytest.mark.parametrize("name", MORE_REPLICAS)
def test_four_replicas_compute_the_same_as_one_device(full, name):
    assert_same(full, 4, name)


def test_the_loss_of_the_first_case_decreases(core):
    losses = np.load(core[1] / "info_nce.npz")["fit/loss"]
    assert losses[-1] < losses[0]
