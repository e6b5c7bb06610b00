"""On several devices of JAX, no device holds more than a tile of its rows, and loops gather nothing."""

import json

import keras
import numpy as np
import pytest

from tests.helpers.backend import run_replicas

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="one program for several devices is JAX' own"
)


@pytest.fixture(scope="module")
def found():
    return json.loads(run_replicas(4, "tests.distributed.shards", 4).splitlines()[-1])


def test_model_parallel_trains_what_one_device_does(found):
    np.testing.assert_allclose(found["together"], found["alone"], rtol=1e-5)


def test_a_device_holds_a_tile_of_its_rows(found):
    of_a_tile = 4096 // 4 * 256 * 4
    assert found["shares"]["bytes"] < 2.5 * of_a_tile  # all logits are 64 such tiles


def test_candidates_are_gathered_once(found):
    gathered = [
        line for line in found["shares"]["outside"] if line.startswith("all-gather f32[4096,16]")
    ]
    assert len(gathered) == 2  # one for the loss, and one for its gradient
    assert found["shares"]["inside"]
    for line in found["shares"]["inside"]:  # sums of a tile's columns
        assert line.startswith("all-reduce f32[256")
