"""One batch is one thing: several replicas compute what one does."""

import concurrent.futures

import keras
import numpy as np
import pytest

from tests.distributed.cases import CASES
from tests.helpers.backend import run_replicas

# Sums in another order, in float32; bfloat16 rounds each row of a product by itself, but not alike for all sizes.
# What is evaluated after training shows roundings that a dozen steps have amplified.
TOLERANCE = {
    "float32": {"step": 1e-5, "gradient": 1e-4, "evaluate": 5e-4},
    "mixed_bfloat16": {"step": 1e-3, "gradient": 2e-2},
}
# So does a dozen layers, and the bias of an attention's keys has no gradient but what is rounded.
TOLERANCE_OF_TRANSFORMERS = {"step": 1e-5, "gradient": 1e-3, "evaluate": 5e-3}
SOME = ("info_nce", "gamma", "sup_con", "structures", "queue", "few_left", "tiled", "sigmoid")
# TensorFlow traces each case for a quarter of a minute, so it computes what differs most.
if keras.backend.backend() == "tensorflow":
    SOME = ("info_nce", "micro_batches", "few_left")
    MANY = (
        *SOME,
        "sup_con",
        "queue",
        "tiled",
        "sigmoid",
        "gamma_temperature",
        "mixed_precision",
        "plain_model",
        "fusion",
    )
else:
    MANY = tuple(
        case for case in CASES if case != "fusion"
    )  # which is part of "fusion_in_micro_batches"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders with what came of the cases, by the number of replicas. All are computed side by side."""
    cases = {1: MANY, 2: MANY, 4: SOME}
    folders = {count: tmp_path_factory.mktemp(f"replicas_{count}") for count in cases}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(
                run_replicas, count, "tests.distributed.worker", folders[count], count, *names
            )
            for count, names in cases.items()
        ]
    for run in runs:
        run.result()
    return folders


@pytest.mark.parametrize(
    ("count", "case"),
    [(2, case) for case in MANY] + [(4, case) for case in SOME],
    ids=lambda value: str(value),
)
def test_replicas_compute_what_one_device_does(trained, count, case):
    alone, together = (np.load(trained[number] / f"{case}.npz") for number in (1, count))
    assert set(together.files) == set(alone.files)
    assert sum(name.startswith("gradient/") for name in alone.files) >= 4
    tolerance = (
        TOLERANCE_OF_TRANSFORMERS if case.startswith("fusion") else TOLERANCE[CASES[case][1]]
    )
    for name in alone.files:
        expected, found = alone[name], together[name]
        limit = tolerance.get(name.partition("/")[0], tolerance["gradient"])
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected), err_msg=name)
        known = np.isfinite(expected)
        scale = max(np.abs(expected[known]).max(initial=0.0), 1e-3)
        np.testing.assert_allclose(
            found[known], expected[known], rtol=0, atol=limit * scale, err_msg=name
        )


def test_replicas_learn(trained):
    losses = np.load(trained[1] / "info_nce.npz")["fit/loss"]
    assert losses[-1] < losses[0]
