"""On several JAX devices, a device holds one tile of its rows and loops gather no rows."""

import json

import keras
import numpy as np
import pytest

from tests.helpers.replicas import run_replicas

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="only JAX runs one program on several devices"
)


@pytest.fixture(scope="module")
def facts():
    return json.loads(run_replicas(4, "tests.distributed.shards", 4).splitlines()[-1])


def test_model_parallel_trains_the_same_as_one_device(facts):
    np.testing.assert_allclose(facts["together"], facts["alone"], rtol=1e-5)


def test_a_device_holds_one_tile_of_its_rows(facts):
    tile_bytes = 4096 // 4 * 256 * 4
    assert facts["sharded"]["bytes"] < 2.5 * tile_bytes  # all logits need 64 times as much


def test_candidates_are_gathered_once_and_outside_loops(facts):
    gathered = [
        line for line in facts["sharded"]["outside"] if line.startswith("all-gather f32[4096,16]")
    ]
    assert len(gathered) == 2  # one in the loss and one in its gradient
    assert facts["sharded"]["inside"]
    for line in facts["sharded"]["inside"]:  # sums over the rows of a tile
        assert line.startswith("all-reduce f32[256")
