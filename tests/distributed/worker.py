"""Trains cases on so many replicas, and writes what came of it.

python -m tests.distributed.worker OUT COUNT CASE [CASE ...]
"""

import pathlib
import sys

import keras
import numpy as np
from keras import ops

from keras_contrastive.config import set_tile_shape
from tests.distributed.cases import CASES
from tests.helpers.backend import UNEVEN_ROWS, join_replicas, num_replicas
from tests.helpers.towers import pairs

RATE, BATCH = 0.1, 16
JIT_COMPILE = (
    False if keras.backend.backend() == "tensorflow" else "auto"
)  # XLA would compile for minutes


def measure(make):
    """Loss and gradients of the first batch, and all that there is after some epochs, as arrays by name."""
    found = {}
    model, compiled_with, x, y, weights = make()
    model.compile(keras.optimizers.SGD(RATE), jit_compile=JIT_COMPILE, **compiled_with)
    before = numbers(model)
    trainable = [name for name in before if name.startswith("trainable/")]

    def after_first_step(_, logs):
        if not found:
            getattr(model, "jax_state_sync", lambda: None)()
            after = numbers(model)
            found.update(
                {
                    f"step/{name}": np.asarray(ops.convert_to_numpy(value))
                    for name, value in logs.items()
                }
            )
            found.update(
                {f"gradient/{name}": (before[name] - after[name]) / RATE for name in trainable}
            )

    watch = keras.callbacks.LambdaCallback(on_train_batch_end=after_first_step)
    history = model.fit(
        x, y, sample_weight=weights, batch_size=BATCH, epochs=4, callbacks=[watch], verbose=0
    )
    found |= {f"fit/{name}": np.asarray(values) for name, values in history.history.items()}
    scores = model.evaluate(
        x, y, sample_weight=weights, batch_size=BATCH, verbose=0, return_dict=True
    )
    found |= {f"evaluate/{name}": np.asarray(value) for name, value in scores.items()}
    return found | {f"after/{name}": value for name, value in numbers(model).items()}


def numbers(model):
    """All weights by name, those of the loss's own layers among them."""
    named = {}
    for kind in ("trainable", "non_trainable"):
        for place, weight in enumerate(getattr(model, f"{kind}_weights")):
            named[f"{kind}/{place}_{weight.path}"] = np.asarray(
                ops.convert_to_numpy(weight), "float64"
            )
    return named


def main(out, count, *names):
    scope, is_first = join_replicas(count)
    for name in names:
        make, policy = CASES[name]
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(policy)
        set_tile_shape(None)
        with scope():
            if num_replicas() != count:
                raise RuntimeError(
                    f"{num_replicas()} replicas would compute {name}, and not {count}."
                )
            found = measure(lambda make=make: make(pairs(UNEVEN_ROWS)))
        if is_first:
            np.savez(pathlib.Path(out) / f"{name}.npz", **found)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
