"""Compiles a loss and trains a model on several JAX devices, and prints facts as JSON.

python -m tests.distributed.shards COUNT
"""

import json
import re
import sys

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_contrastive import ContrastiveTrainer, losses
from keras_contrastive._replicas import shard_rows
from keras_contrastive.config import set_tile_shape
from tests.helpers.towers import pairs, towers

ROWS, DIM, TILE = 4096, 16, 256


def compiled_loss():
    """Returns temporary bytes of a device, and collectives with shapes inside and outside loops."""
    set_tile_shape((TILE, TILE))
    loss = losses.InfoNCE(temperature=0.1)

    def value(a, b):
        return loss(None, (shard_rows(a), shard_rows(b)))

    views = [
        jnp.asarray(np.random.default_rng(seed).normal(size=(ROWS, DIM)), "float32")
        for seed in range(2)
    ]
    compiled = (
        jax.jit(jax.value_and_grad(value, argnums=(0, 1))).lower(*map(shard_rows, views)).compile()
    )
    set_tile_shape(None)
    text = compiled.as_text()
    loops = set(re.findall(r"body=%?([\w.\-]+)", text))
    collectives: dict = {"outside": [], "inside": []}
    name = ""
    for line in text.splitlines():
        start = re.match(r"^%?([\w.\-]+) .*\{$", line)
        name = start.group(1) if start else name
        match = re.search(
            r"= (.*) (all-gather|all-reduce|all-to-all|collective-permute)(-start)?\(", line
        )
        if match:
            collectives["inside" if name in loops else "outside"].append(f"{match[2]} {match[1]}")
    return {"bytes": compiled.memory_analysis().temp_size_in_bytes, **collectives}


def trained():
    """Returns the losses of some epochs."""
    model = ContrastiveTrainer(towers())
    model.compile(
        keras.optimizers.SGD(0.1), losses.GammaContrastive(num_items=24, temperature=0.5, seed=1)
    )
    history = model.fit(pairs(), np.arange(24), batch_size=8, epochs=3, shuffle=False, verbose=0)
    return history.history["loss"]


def main(count):
    alone, whole = trained(), compiled_loss()
    mesh = keras.distribution.DeviceMesh(
        (count // 2, 2), ("batch", "model"), keras.distribution.list_devices()
    )
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*dense.*kernel"] = keras.distribution.TensorLayout((None, "model"), mesh)
    parallel = keras.distribution.ModelParallel(
        layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False
    )
    keras.distribution.set_distribution(parallel)
    together = trained()
    data_parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(data_parallel)
    print(
        json.dumps(
            {"alone": alone, "together": together, "whole": whole, "sharded": compiled_loss()}
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
